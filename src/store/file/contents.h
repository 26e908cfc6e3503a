// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/store.h"

namespace limitr::store::file {

/// What is kept of one customer. Never changed once others can see it: whoever has one may read it
/// for as long as he likes.
struct Kept {
  std::uint64_t version = 0;
  std::string record = {};
  std::vector<std::string> alt_ids = {};
  std::vector<std::shared_ptr<const StoredRequest>> requests = {};  ///< By number.
  std::optional<std::string> damage = {};  ///< What is wrong; without a record, with that.
};

/// A text that belongs to no customer: the statistics, or the policy.
struct Text {
  std::string text = {};
  std::optional<std::string> damage = {};  ///< What is wrong; then there is no text.
};

using KeptPointer = std::shared_ptr<const Kept>;

/// All that the store keeps, in memory.
class Contents {
public:
  void apply(const Group& group);
  /// One customer's part of a group.
  void apply(std::uint64_t group, const CustomerWrite& write);
  /// As it is: what a file says of a customer.
  void put(const std::string& id, KeptPointer kept);

  const std::map<std::string, KeptPointer>& customers() const { return customers_; }
  /// The customer of this ID or alternate ID, and its ID; else null.
  std::pair<std::string_view, KeptPointer> find(const std::string& name) const;
  /// Whether this alternate ID leads to this customer, and to no other who got it later.
  bool leads_to(const std::string& alt, std::string_view id) const;
  std::uint64_t requests() const { return requests_; }

  std::uint64_t generation = 0;  ///< How often all has been written anew.
  std::uint64_t epoch = 0;       ///< How often the store has been opened to own it.
  Owner owner = {};
  std::uint64_t last_group = 0;
  std::optional<Text> estimates = {};
  std::optional<Text> policy = {};

private:
  void forget(const std::string& id);

  std::map<std::string, KeptPointer> customers_;
  std::unordered_map<std::string, std::string> alts_;  // alternate ID -> customer
  std::uint64_t requests_ = 0;
};

/// As the port gives it.
StoredCustomer to_stored(std::string_view id, const Kept& kept);

}  // namespace limitr::store::file
