// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_set.h>

#include <limitr/error.h>
#include <limitr/options.h>
#include "base/symbols.h"
#include "base/text_map.h"
#include "state/customer.h"

// Books that balance: what of the state contradicts itself, found by looking at it alone.
// spec: state.md, Books that balance
namespace limitr::state {

/// What does not balance in one customer: grants, holds without a meter, names that stand twice.
std::vector<AuditFinding> audit_customer(const Customer& customer, const SymbolTable& names);

/// An audit of everyone, told of one customer after the other. What it remembers of each are its
/// ID and alternate IDs.
class Audit {
public:
  /// `names` must outlive the audit.
  explicit Audit(SymbolTable& names) : names_(names) {}

  /// A record as it is kept under `id`: reads it, holds it against what it is written as again, and
  /// audits what is in it. The customer, unless it cannot be read.
  std::optional<Customer> add_record(std::string_view id, std::string_view record);
  /// A customer that has been read, and whose text is held against its record elsewhere.
  void add(const Customer& customer);
  /// A request that is remembered for a customer. Those of one customer come one after another;
  /// `number` is its number, or 0 where there are none.
  void add_request(std::string_view customer, std::uint64_t number, std::string_view request,
                   std::string_view answer);
  void add_finding(AuditFinding finding) { findings_.push_back(std::move(finding)); }

  std::uint64_t customers() const { return ids_.size(); }
  std::uint64_t requests() const { return requests_; }
  /// Ends the audit with what takes everyone to see: all that was found.
  std::vector<AuditFinding> finish();

private:
  using Texts = absl::flat_hash_set<std::string, TextHash, TextEqual>;

  SymbolTable& names_;
  std::vector<AuditFinding> findings_;
  Texts ids_;
  TextMap<std::string> alts_;      // alternate ID -> customer
  std::string asking_;             // the customer of the last request
  std::uint64_t last_number_ = 0;  // its number
  Texts asked_;                    // that customer's request IDs so far
  std::uint64_t requests_ = 0;
};

}  // namespace limitr::state
