// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/limitr.h>
#include <limitr/options.h>
#include <limitr/result.h>
#include "open/open_store.h"
#include "policy/document.h"
#include "store/store.h"

// What stands in a store, for whoever only wants to know: it is read beside its owner, who is
// never asked, waited for or kept from anything.
namespace limitr {

/// The bounds of a policy that a store keeps: none. They were held against it when it was given,
/// and its text is ours.
DocumentBounds stored_policy_bounds();

/// What users see of a record that a store keeps: without what is between engines and their server.
std::string shown_record(const std::string& record);

/// A store that is open to be read. Threads: one at a time.
class StoredState {
public:
  /// Errors: those of store_at(), and of opening that store to read.
  static Result<StoredState> open(std::string_view url);

  /// What the store said of itself when it was opened.
  const store::Opened& opened() const { return opened_; }
  Result<store::Status> status() { return store_->status(); }
  /// As of one moment, in the order of IDs.
  Result<void> scan(const std::function<bool(store::StoredCustomer)>& visit) {
    return store_->scan(visit);
  }

  /// The customers of these IDs or alternate IDs, as Store::read().
  Result<std::vector<store::StoredCustomer>> read(const std::vector<std::string>& ids) {
    return store_->read(ids);
  }

  /// The policy that the store keeps, as JSON text. Errors: invalid_argument, where there is none.
  Result<std::string> policy() const;

  /// An engine, without a store, that knows these customers (by ID or alternate ID; those that are
  /// not there are left out) and everyone their refs reach: what it answers of them, and decides,
  /// is what the owner would. With `policy` or, where that is null, the stored one. What is damaged
  /// of them is added to `damage`, and left out. Errors also: as Limitr::open().
  Result<Limitr> engine_of(std::span<const std::string> ids, const policy::Node* policy,
                           const Options& options, std::vector<Error>& damage);

private:
  StoredState(std::unique_ptr<store::Store> store, store::Opened opened)
      : store_(std::move(store)), opened_(std::move(opened)) {}

  Result<std::vector<store::StoredCustomer>> family_of(std::span<const std::string> ids,
                                                       std::vector<Error>& damage);

  std::unique_ptr<store::Store> store_;
  store::Opened opened_;
};

}  // namespace limitr
