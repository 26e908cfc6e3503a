// SPDX-License-Identifier: Apache-2.0
#include "state/audit.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <tuple>

#include <fmt/format.h>

#include "base/amount.h"
#include "state/record.h"

namespace limitr::state {
namespace {

// Both sides of a grant's books, an eighth of each: so no sum leaves the range of a double.
constexpr double scale = 0.125;

void audit_grants(const Customer& customer, std::vector<AuditFinding>& findings) {
  for (const Grant& grant : customer.more().grants) {
    const double in = grant.starting_value * scale + grant.added * scale;
    const double out = grant.value * scale + grant.drawn * scale + grant.lost * scale;
    const double size = std::fabs(grant.starting_value * scale) + std::fabs(grant.added * scale) +
                        std::fabs(grant.lost * scale);
    if (amount::agree(in, out, size, scale)) continue;
    findings.push_back({.customer = customer.id,
                        .field = "grants." + grant.id,
                        .message = "starting_value + added is not value + drawn + lost",
                        .expected = amount::within_range(in / scale),
                        .found = amount::within_range(out / scale)});
  }
}

void audit_holds(const Customer& customer, const SymbolTable& names,
                 std::vector<AuditFinding>& findings) {
  for (const MeterExtra& extra : customer.more().extras) {
    if (extra.holds.empty() || customer.meter(extra.entitlement) != nullptr) continue;
    findings.push_back({.customer = customer.id,
                        .field = fmt::format("meters.{}.holds", names.text(extra.entitlement)),
                        .message = "holds without a meter"});
  }
}

void audit_numbers(const Customer& customer, const SymbolTable& names,
                   std::vector<AuditFinding>& findings) {
  const auto expect_number = [&](double number, std::string field) {
    if (std::isfinite(number)) return;
    findings.push_back(
        {.customer = customer.id, .field = std::move(field), .message = "it is no number"});
  };
  for (const Meter& meter : customer.meters) {
    expect_number(meter.value, fmt::format("meters.{}.value", names.text(meter.entitlement)));
  }
  for (const MeterExtra& extra : customer.more().extras) {
    for (const Hold& hold : extra.holds) {
      expect_number(hold.value, fmt::format("meters.{}.holds.{}.value",
                                            names.text(extra.entitlement), hold.id));
    }
  }
  for (const Grant& grant : customer.more().grants) {
    expect_number(grant.value, fmt::format("grants.{}.value", grant.id));
  }
  for (const Cap& cap : customer.more().caps) {
    expect_number(cap.value, fmt::format("caps.{}.value", cap.id));
    expect_number(cap.meter_value, fmt::format("caps.{}.meter_value", cap.id));
  }
}

// Where two texts first differ, counted from 0.
std::size_t first_difference(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                                  a.begin());
}

}  // namespace

std::vector<AuditFinding> audit_customer(const Customer& customer, const SymbolTable& names) {
  std::vector<AuditFinding> findings;
  audit_numbers(customer, names, findings);
  audit_grants(customer, findings);
  audit_holds(customer, names, findings);
  return findings;
}

std::optional<Customer> Audit::add_record(std::string_view id, std::string_view record) {
  Result<Customer> read = read_customer(record, names_);
  if (!read.ok()) {
    ids_.emplace(id);
    add_finding({.customer = std::string(id),
                 .field = read.error().where,
                 .message = "its record cannot be read: " + read.error().message});
    return std::nullopt;
  }
  if (read->id != id) {
    add_finding({.customer = std::string(id),
                 .field = "id",
                 .message = fmt::format("its record is that of `{}`", read->id)});
  }
  if (const std::string again = to_record(*read, names_); again != record) {
    add_finding({.customer = std::string(id),
                 .field = {},
                 .message = fmt::format("its record is written differently when it was read: from "
                                        "byte {} on",
                                        first_difference(record, again))});
  }
  add(*read);
  return *std::move(read);
}

void Audit::add(const Customer& customer) {
  if (!ids_.insert(customer.id).second) {
    add_finding({.customer = customer.id, .field = "id", .message = "two customers have this ID"});
  }
  for (const std::string& alt : customer.more().alt_ids) {
    const auto [known, is_new] = alts_.emplace(alt, customer.id);
    if (is_new) continue;
    const bool is_own = known->second == customer.id;
    add_finding({.customer = customer.id,
                 .field = "alt_ids",
                 .message = is_own
                                ? fmt::format("the alternate ID `{}` stands there twice", alt)
                                : fmt::format("the alternate ID `{}` is also that of customer `{}`",
                                              alt, known->second)});
  }
  for (AuditFinding& finding : audit_customer(customer, names_)) add_finding(std::move(finding));
}

void Audit::add_request(std::string_view customer, std::uint64_t number, std::string_view request,
                        std::string_view answer) {
  ++requests_;
  if (asking_ != customer) {
    asking_ = customer;
    asked_.clear();
    last_number_ = 0;
  }
  const auto wrong = [&](std::string message) {
    add_finding({.customer = std::string(customer),
                 .field = fmt::format("requests.{}", request),
                 .message = std::move(message)});
  };
  if (!ids_.contains(customer)) wrong("it is remembered for a customer that is not there");
  if (!asked_.emplace(request).second) wrong("it is remembered twice");
  if (!is_answer(answer)) wrong("its answer is that of no call");
  if (number == 0) return;
  if (number <= last_number_) {
    wrong(fmt::format("its number is {}, and {} stands before it", number, last_number_));
  }
  last_number_ = number;
}

std::vector<AuditFinding> Audit::finish() {
  std::vector<AuditFinding> taken;
  for (const auto& [alt, customer] : alts_) {
    if (!ids_.contains(alt)) continue;
    taken.push_back({.customer = customer,
                     .field = "alt_ids",
                     .message = fmt::format("the alternate ID `{}` is a customer's own ID", alt)});
  }
  std::sort(taken.begin(), taken.end(), [](const AuditFinding& a, const AuditFinding& b) {
    return std::tie(a.customer, a.message) < std::tie(b.customer, b.message);
  });
  std::move(taken.begin(), taken.end(), std::back_inserter(findings_));
  return std::move(findings_);
}

}  // namespace limitr::state
