// SPDX-License-Identifier: Apache-2.0
#include "data_set.h"

#include <cmath>
#include <random>

#include <fmt/format.h>

#include "harness.h"

namespace limitr::bench {

std::string customer_id(std::size_t number) { return fmt::format("customer-{:06}", number); }

std::vector<std::string> customer_ids(std::size_t first, std::size_t count) {
  std::vector<std::string> ids;
  ids.reserve(count);
  for (std::size_t i = first; i < first + count; ++i) ids.push_back(customer_id(i));
  return ids;
}

std::string data_set_policy(double limit) {
  std::string policy = R"(policy:
  credits:
    token: { price: { amount: 0.002 } }
  plans:
    pro:
      default: true
      entitlements:
)";
  for (const std::string_view name : entitlements) {
    policy += fmt::format(
        "        {}: {{ limit: {{ credit: token, mode: hard, value: {}, resets: true, "
        "reset_inc: 30days }} }}\n",
        name, limit);
  }
  return policy;
}

void add_customers(Limitr& limitr, std::size_t first, std::size_t count) {
  for (std::size_t i = first; i < first + count; ++i) {
    const std::string id = customer_id(i);
    required(limitr.create_customer(id));
    for (const std::string_view name : entitlements) {
      for (int call = 0; call < static_cast<int>(calls_before); ++call) {
        required(limitr.allow(id, name, 1));
      }
    }
  }
}

Limitr engine_with_customers(std::size_t count, double limit) {
  const std::string policy = data_set_policy(limit);
  Limitr limitr = required(Limitr::open(std::string_view(policy)));
  add_customers(limitr, 0, count);
  return limitr;
}

bool has_three_full_meters(Limitr& limitr, const std::string& id) {
  for (const std::string_view name : entitlements) {
    const std::optional<Json> meter = required(limitr.meter(id, name));
    if (!meter || meter->value("history", Json::array()).size() != 3) return false;
    if (meter->value("value", 0.0) < calls_before) return false;
  }
  return true;
}

std::vector<std::string> random_keys(const std::vector<std::string>& ids, std::size_t calls) {
  // A fixed seed, and no distribution: the standard leaves theirs to each library.
  std::mt19937_64 random(20'260'301);
  std::vector<std::string> keys;
  keys.reserve(calls);
  for (std::size_t i = 0; i < calls; ++i) keys.push_back(ids[random() % ids.size()]);
  return keys;
}

double binding_limit(double calls_each) {
  return std::ceil(calls_before + calls_each + 2 * std::sqrt(calls_each));
}

}  // namespace limitr::bench
