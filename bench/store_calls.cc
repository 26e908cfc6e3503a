// SPDX-License-Identifier: Apache-2.0
#include "store_calls.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "data_set.h"

namespace limitr::bench {

namespace {

// The calls of time_in_flight() that are on their way: each answer makes the next one, on the
// thread that it comes on, as the comparators' replies do.
class Flying {
public:
  Flying(Limitr& limitr, const std::vector<std::string>& keys, std::size_t bound)
      : limitr_(limitr), keys_(keys), bound_(bound), room_(bound) {}

  /// How many of them were allowed.
  std::uint64_t make_all() {
    std::unique_lock lock(mutex_);
    make_calls(lock);
    changed_.wait(lock, [this] { return is_over(); });
    if (failure_) stop(*failure_);
    return allowed_;
  }

private:
  bool is_over() const { return !is_calling_ && next_ == keys_.size() && room_ == bound_; }

  // As long as there is room for them, unless another thread does.
  void make_calls(std::unique_lock<std::mutex>& lock) {
    if (is_calling_) return;
    is_calling_ = true;
    while (room_ > 0 && next_ < keys_.size()) {
      --room_;
      const std::string& id = keys_[next_++];
      lock.unlock();
      limitr_.allow_async({.customer = id, .entitlement = called, .value = 1},
                          [this](const Result<Decision>& decision) { landed(decision); });
      lock.lock();
    }
    is_calling_ = false;
    if (is_over()) changed_.notify_one();
  }
  void landed(const Result<Decision>& decision) {
    std::unique_lock lock(mutex_);
    if (!decision.ok()) {
      failure_ = decision.error();
    } else if (decision->allowed) {
      ++allowed_;
    }
    ++room_;
    make_calls(lock);
  }

  Limitr& limitr_;
  const std::vector<std::string>& keys_;
  const std::size_t bound_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t room_;                // guarded by mutex_
  std::size_t next_ = 0;            // guarded by mutex_: of the keys
  bool is_calling_ = false;         // guarded by mutex_
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
  Flying flying(limitr, keys, in_flight);
  const Stopwatch watch;
  const std::uint64_t allowed = flying.make_all();
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
