// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include <limitr/error.h>
#include <limitr/time.h>

namespace limitr::engine {

/// When a store that has failed is tried again: after a pause that grows with each failure.
class Backoff {
public:
  static constexpr Millis min{50};
  static constexpr Millis max{2000};

  void failed(Error error) {
    why_ = std::move(error);
    pause_ = std::clamp(pause_ * 2, min, max);
    next_try_ = std::chrono::steady_clock::now() + pause_;
  }
  void recovered() {
    why_.reset();
    pause_ = Millis(0);
  }
  /// Why it failed last; none: it has not, or has recovered.
  const std::optional<Error>& why() const { return why_; }
  /// Why it is not to be tried yet; null: it may be.
  const Error* too_early() const {
    return why_ && std::chrono::steady_clock::now() < next_try_ ? &*why_ : nullptr;
  }

private:
  std::optional<Error> why_;
  Millis pause_{0};
  std::chrono::steady_clock::time_point next_try_;
};

}  // namespace limitr::engine
