// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include <limitr/time.h>

namespace limitr::simulation {

/// Time that only passes when nothing else can happen, and all chance there is.
class World {
public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  Millis now() const { return now_; }
  void after(Millis delay, std::function<void()> what) {
    events_.push({now_ + delay, next_++, std::move(what)});
  }
  /// Does what is due next, unless that is after `end`; false: nothing is.
  bool step(Millis end) {
    if (events_.empty() || events_.top().at > end) return false;
    Event event = events_.top();
    events_.pop();
    now_ = std::max(now_, event.at);
    event.what();
    return true;
  }
  void pass_until(Millis end) { now_ = std::max(now_, end); }

  /// From `low` to `high`, both included.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    const auto span = static_cast<std::uint64_t>(high - low + 1);
    return low + static_cast<std::int64_t>(random_() % span);
  }
  bool chance(double probability) {
    return static_cast<double>(random_() >> 11U) * 0x1p-53 < probability;
  }

  /// What happened, folded into one number: two runs of a seed have the same.
  void note(std::string_view what) {
    for (const char c : what) trace_ = (trace_ ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    trace_ = (trace_ ^ static_cast<std::uint64_t>(now_.count())) * 0x100000001b3U;
  }
  std::uint64_t trace() const { return trace_; }

private:
  struct Event {
    Millis at;
    std::uint64_t number;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : number > other.number;
    }
  };

  std::mt19937_64 random_;
  Millis now_{1'000'000};
  std::uint64_t next_ = 0;
  std::priority_queue<Event> events_;
  std::uint64_t trace_ = 0xcbf29ce484222325U;
};

}  // namespace limitr::simulation
