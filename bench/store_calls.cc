// SPDX-License-Identifier: Apache-2.0
#include "store_calls.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "data_set.h"

namespace limitr::bench {

namespace {

// The calls of time_in_flight() that are on their way.
class Flying {
public:
  explicit Flying(std::size_t bound) : bound_(bound), room_(bound) {}

  /// Waits until there is room, and takes all of it.
  std::size_t take_room() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return room_ > 0; });
    return std::exchange(room_, 0);
  }
  void landed(const Result<Decision>& decision) {
    const std::lock_guard lock(mutex_);
    if (!decision.ok()) {
      failure_ = decision.error();
    } else if (decision->allowed) {
      ++allowed_;
    }
    // Whoever waits does so for the first of all, or for the last.
    ++room_;
    if (room_ == 1 || room_ == bound_) changed_.notify_one();
  }
  /// Waits for all. How many were allowed.
  std::uint64_t wait(std::size_t unused_room) {
    std::unique_lock lock(mutex_);
    room_ += unused_room;
    changed_.wait(lock, [this] { return room_ == bound_; });
    if (failure_) stop(*failure_);
    return allowed_;
  }

private:
  const std::size_t bound_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t room_;                // guarded by mutex_
  std::uint64_t allowed_ = 0;       // guarded by mutex_
  std::optional<Error> failure_{};  // guarded by mutex_: of any call
};

}  // namespace

Limitr engine_at(const std::string& url, double limit, Options options) {
  options.store = url;
  return required(Limitr::open(std::string_view(data_set_policy(limit)), std::move(options)));
}

Limitr cloud_engine_at(std::string_view url) {
  const std::size_t at = url.find('@');
  const std::size_t token = url.find(':') + 1;
  CloudOptions options;
  options.token = url.substr(token, at - token);
  options.address = url.substr(at + 1);
  options.engine.log = [](std::string_view) {};
  return required(Limitr::cloud(std::move(options)));
}

void put_customers(const std::string& url, std::size_t count, double limit) {
  constexpr std::size_t batch = 10'000;
  // load_all: the store is new, so there is nobody to be looked for in it.
  Limitr limitr = engine_at(url, limit,
                            {.durability = Durability::manual,
                             .accept_weaker = true,
                             .load_all = true,
                             .log = [](std::string_view) {}});
  for (std::size_t first = 0; first < count; first += batch) {
    add_customers(limitr, first, std::min(batch, count - first));
    required(limitr.flush());
  }
  required(limitr.close());
}

Records::Records(const std::vector<std::string>& ids) {
  Limitr limitr = engine_with_customers(ids.size(), no_limit);
  for (const std::string& id : ids) {
    const auto record = [&] { return required(limitr.customer(id)).value_or(nullptr).dump(); };
    Versions versions{.before = record(), .after = {}};
    required(limitr.allow(id, called, 1));
    versions.after = record();
    records_.emplace(id, std::move(versions));
  }
}

const std::string& Records::next(const std::string& id) {
  Versions& versions = records_.find(id)->second;
  versions.before.swap(versions.after);
  return versions.before;
}

Sample time_one_by_one(Limitr& limitr, const std::vector<std::string>& keys) {
  std::uint64_t allowed = 0;
  const Stopwatch watch;
  for (const std::string& id : keys) {
    const Result<Decision> decision = limitr.allow(id, called, 1);
    if (!decision.ok()) stop(decision.error());
    if (decision->allowed) ++allowed;
  }
  return {watch.seconds() * 1e6 / static_cast<double>(keys.size()), allowed};
}

Sample time_in_flight(Limitr& limitr, const std::vector<std::string>& keys, std::size_t in_flight) {
  Flying flying(in_flight);
  const auto then = [&flying](const Result<Decision>& decision) { flying.landed(decision); };
  const Stopwatch watch;
  std::size_t room = 0;
  for (const std::string& id : keys) {
    if (room == 0) room = flying.take_room();
    --room;
    limitr.allow_async({.customer = id, .entitlement = called, .value = 1}, then);
  }
  const std::uint64_t allowed = flying.wait(room);
  return {static_cast<double>(keys.size()) / watch.seconds(), allowed};
}

std::vector<double> meters_of(Limitr limitr, const std::vector<std::string>& ids) {
  required(limitr.warm(ids));
  std::vector<double> meters;
  meters.reserve(ids.size());
  for (const std::string& id : ids) {
    meters.push_back(required(limitr.value(id, called)).value_or(-1));
  }
  required(limitr.close());
  return meters;
}

std::vector<double> stored_meters(const std::string& url, const std::vector<std::string>& ids) {
  return meters_of(
      engine_at(url, no_limit, {.accept_weaker = true, .log = [](std::string_view) {}}), ids);
}

void compare_stored(const std::string& url, const std::vector<std::string>& ids,
                    const std::vector<std::string>& keys, std::size_t rounds, Checks& checks) {
  absl::flat_hash_map<std::string_view, std::size_t> calls;
  for (const std::string& id : keys) ++calls[id];
  const std::vector<double> meters = stored_meters(url, ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto counted = static_cast<double>(rounds * calls[ids[i]]);
    checks.same(fmt::format("stored meter of {}", ids[i]), meters[i], calls_before + counted);
  }
}

}  // namespace limitr::bench
