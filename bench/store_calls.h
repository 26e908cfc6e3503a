// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include <limitr/limitr.h>

#include "harness.h"

// What the benches of stores have in common: engines on a store, and their calls.
namespace limitr::bench {

/// Reached by nobody.
inline constexpr double no_limit = 1e12;

/// An engine of the data set's policy on that store, with what else the options say.
Limitr engine_at(const std::string& url, double limit, Options options = {});

/// An engine of the Cloud server that `cloud:TOKEN@ADDRESS` names.
Limitr cloud_engine_at(std::string_view url);

/// Puts customers 0 to `count` of the data set into a new store, 10,000 a group.
void put_customers(const std::string& url, std::size_t count, double limit);

/// Customers' records as JSON texts, with three meters about 1.2 kB each, for a comparator to
/// write. The record of one changes each time, as by a call: to write what is there already costs
/// some stores nothing.
class Records {
public:
  explicit Records(const std::vector<std::string>& ids);

  /// What is to be written of a customer next.
  const std::string& next(const std::string& id);

private:
  struct Versions {
    std::string before;
    std::string after;
  };
  absl::flat_hash_map<std::string, Versions> records_;
};

/// One call after the other. Microseconds a call, and how many were allowed.
Sample time_one_by_one(Limitr& limitr, const std::vector<std::string>& keys);

/// With `in_flight` calls on their way, as long as there are as many left: each answer makes the
/// next one. Calls a second, and how many were allowed.
Sample time_in_flight(Limitr& limitr, const std::vector<std::string>& keys, std::size_t in_flight);

/// Every customer's meter, read back from the store by an engine that has just opened it, must
/// stand `rounds` times as high as the keys say, above what it was before.
void compare_stored(const std::string& url, const std::vector<std::string>& ids,
                    const std::vector<std::string>& keys, std::size_t rounds, Checks& checks);

/// The customers' meters as the engine finds them, which is closed then.
std::vector<double> meters_of(Limitr limitr, const std::vector<std::string>& ids);
/// The meters that an engine which has just opened the store finds.
std::vector<double> stored_meters(const std::string& url, const std::vector<std::string>& ids);

}  // namespace limitr::bench
