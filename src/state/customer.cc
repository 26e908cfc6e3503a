// SPDX-License-Identifier: Apache-2.0
#include "state/customer.h"

#include <algorithm>

namespace limitr::state {
namespace {

template <typename Items>
auto* find_entitlement(Items& items, Symbol entitlement) {
  const auto found = std::find_if(items.begin(), items.end(), [&](const auto& item) {
    return item.entitlement == entitlement;
  });
  return found == items.end() ? nullptr : &*found;
}

template <typename Items>
auto* find_id(Items& items, std::string_view id) {
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const auto& item) { return item.id == id; });
  return found == items.end() ? nullptr : &*found;
}

}  // namespace

double History::rate() const {
  const std::size_t count = size();
  if (count < 2) return 0;
  const Entry& last = entries_[count - 1];
  return per_ms(last.delta, *entries_[count - 2].at, *last.at);
}

double History::acceleration() const {
  if (size() < 3) return 0;
  const auto& [a, b, c] = entries_;
  return amount::within_range(per_ms(b.delta, *b.at, *c.at) - per_ms(a.delta, *a.at, *b.at));
}

Customer::Customer(const Customer& other)
    : id(other.id),
      plan(other.plan),
      type(other.type),
      meters(other.meters),
      rest(other.rest ? std::make_unique<CustomerRest>(*other.rest) : nullptr),
      cloud(other.cloud ? std::make_unique<Cloud>(*other.cloud) : nullptr) {}

Customer& Customer::operator=(const Customer& other) { return *this = Customer(other); }

const MeterExtra* Customer::find_extra(Symbol entitlement) const {
  return find_entitlement(rest->extras, entitlement);
}

const Override* Customer::find_override(Symbol entitlement) const {
  return rest ? find_entitlement(rest->overrides, entitlement) : nullptr;
}

const Cap* Customer::cap(std::string_view cap_id) const {
  return rest ? find_id(rest->caps, cap_id) : nullptr;
}
Cap* Customer::cap(std::string_view cap_id) { return rest ? find_id(rest->caps, cap_id) : nullptr; }

const CustomerRest& Customer::more() const {
  static const CustomerRest none;
  return rest ? *rest : none;
}

CustomerRest& Customer::own_rest() {
  if (!rest) rest = std::make_unique<CustomerRest>();
  return *rest;
}

MeterExtra& Customer::own_extra(Symbol entitlement) {
  if (MeterExtra* found = extra(entitlement)) return *found;
  MeterExtra& added = own_rest().extras.emplace_back();
  added.entitlement = entitlement;
  return added;
}

Meter& Customer::add_meter(const Meter& meter) {
  meters.reserve(meters.size() + 1);
  return meters.emplace_back() = meter;
}

std::uint64_t next_seq(const std::vector<Grant>& grants) {
  return grants.empty() ? 1 : grants.back().seq + 1;
}
std::uint64_t next_seq(const std::vector<Cap>& caps) {
  return caps.empty() ? 1 : caps.back().seq + 1;
}

}  // namespace limitr::state
