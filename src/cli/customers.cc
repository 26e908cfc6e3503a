// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "cli/command.h"
#include "cli/store_commands.h"
#include "cli/terminal.h"

namespace limitr::cli {
namespace {

constexpr std::uint64_t rows_a_page = 50;

/// A record of a store, as JSON; an empty object where it is none, which the store says itself.
Json parsed(const store::StoredCustomer& customer) {
  Json record = Json::parse(customer.record, nullptr, /*allow_exceptions=*/false);
  return record.is_object() ? record : Json::object();
}

bool is_wanted(const Json& record, const CustomersOptions& options) {
  return options.plan.empty() || record.value("plan", "") == options.plan;
}

std::vector<std::string> meters_of(const Json& record) {
  std::vector<std::string> meters;
  const auto found = record.find("meters");
  if (found == record.end() || !found->is_object()) return meters;
  for (const auto& [entitlement, meter] : found->items()) meters.push_back(entitlement);
  return meters;
}

/// The meter that is used up furthest: "chat 80%". Empty where none has a limit.
std::string fullest(Limitr& limitr, const Json& record) {
  const std::string id = record.value("id", "");
  std::string text;
  double most = -1;
  for (const std::string& entitlement : meters_of(record)) {
    const auto limit = limitr.limit(id, entitlement);
    const auto used = limitr.value(id, entitlement, /*percent=*/true);
    if (!limit.ok() || !limit->has_value() || !used.ok() || !used->has_value()) continue;
    if (**used <= most) continue;
    most = **used;
    text = fmt::format("{} {:.0f}%", entitlement, most);
  }
  return text;
}

/// The customers that were asked for, until `take` returns false. The answer is how many are
/// damaged; they are named.
Result<std::size_t> each_customer(ToRead& store, const CustomersOptions& options,
                                  const std::function<bool(const std::string&, Json)>& take) {
  std::size_t damaged = 0;
  const auto scanned = store.stored.scan([&](const store::StoredCustomer& customer) {
    if (!options.after.empty() && customer.id <= options.after) return true;
    if (customer.damage) {
      ++damaged;
      trouble(customer.damage->to_string());
    }
    if (customer.record.empty()) return true;
    Json record = parsed(customer);
    return !is_wanted(record, options) || take(customer.record, std::move(record));
  });
  if (!scanned.ok()) return scanned.error();
  return damaged;
}

int list_as_json(ToRead& store, const CustomersOptions& options) {
  std::uint64_t left = options.limit.value_or(std::numeric_limits<std::uint64_t>::max());
  if (left == 0) return exit_fine;
  const auto damaged = each_customer(store, options, [&](const std::string& text, const Json&) {
    print("{}\n", shown_record(text));
    return --left != 0;
  });
  if (!damaged.ok()) return trouble(damaged.error().to_string());
  return *damaged == 0 ? exit_fine : exit_negative;
}

int list_as_table(ToRead& store, const CustomersOptions& options) {
  const std::uint64_t most = options.limit.value_or(rows_a_page);
  std::vector<Json> page;
  bool is_more = false;
  const auto damaged = each_customer(store, options, [&](const std::string&, Json record) {
    is_more = page.size() == most;
    if (!is_more) page.push_back(std::move(record));
    return !is_more;
  });
  if (!damaged.ok()) return trouble(damaged.error().to_string());
  std::vector<std::string> ids;
  for (const Json& record : page) ids.push_back(record.value("id", ""));
  // How full a meter is only a policy says; without one the rest is still there to see.
  const bool has_policy = store.policy || store.stored.opened().policy;
  std::optional<Limitr> limitr;
  if (has_policy && !ids.empty()) {
    auto opened = engine_of(store, options.use, ids);
    if (!opened.ok()) return trouble(opened.error().to_string());
    limitr.emplace(*std::move(opened));
  }
  Table table({{"customer"}, {"plan"}, {"type"}, {"meters", true}, {"fullest"}});
  for (const Json& record : page) {
    const std::string plan = record.value("plan", "");
    table.add({record.value("id", ""), plan.empty() ? "(inherited)" : plan,
               record.value("type", ""), fmt::format("{}", meters_of(record).size()),
               limitr ? fullest(*limitr, record) : ""});
  }
  print("{}", table.text(Style()));
  if (is_more && !ids.empty()) print_to(stderr, "limitr: there are more: --after {}\n", ids.back());
  return *damaged == 0 ? exit_fine : exit_negative;
}

}  // namespace

int list_customers(const CustomersOptions& options) {
  auto store = open_to_read(options.use);
  if (!store.ok()) return trouble(store.error().to_string());
  return options.json ? list_as_json(*store, options) : list_as_table(*store, options);
}

}  // namespace limitr::cli
