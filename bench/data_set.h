// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/limitr.h>

// The customers that all benches use: each has three meters, each of which was called three
// times and so holds a full rate history.
namespace limitr::bench {

inline constexpr std::array<std::string_view, 3> entitlements = {"chat", "search", "storage"};
/// The one that is called when times are taken.
inline constexpr std::string_view called = entitlements[0];
inline constexpr double calls_before = 3;

/// "customer-000123"
std::string customer_id(std::size_t number);
std::vector<std::string> customer_ids(std::size_t first, std::size_t count);

/// A plan that allows `limit` of each entitlement every 30 days.
std::string data_set_policy(double limit);
/// An engine of that policy on the machine's clock, with customers 0 to `count`.
Limitr engine_with_customers(std::size_t count, double limit);
void add_customers(Limitr& limitr, std::size_t first, std::size_t count);

/// Whether the customer is there as the data set has it, but that it may have been called since.
bool has_three_full_meters(Limitr& limitr, const std::string& id);

/// `calls` random ones of the IDs, each a copy of its own, so that reading the next ID costs
/// both sides the same little.
std::vector<std::string> random_keys(const std::vector<std::string>& ids, std::size_t calls);

/// A limit that a few in a hundred customers reach when they are called `calls_each` times on
/// average: enough for the number of allowed calls to be an answer worth comparing.
double binding_limit(double calls_each);

}  // namespace limitr::bench
