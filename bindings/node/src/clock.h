// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <napi.h>

namespace limitr::node {

/// new ManualClock(ms): a clock that stands still until it is set. Engines read it without calling
/// into JavaScript.
class ManualClock : public Napi::ObjectWrap<ManualClock> {
public:
  static Napi::Function define(Napi::Env env);
  explicit ManualClock(const Napi::CallbackInfo& info);

  std::shared_ptr<const std::atomic<std::int64_t>> now() const { return now_; }

private:
  Napi::Value get(const Napi::CallbackInfo& info);
  void set(const Napi::CallbackInfo& info);

  std::shared_ptr<std::atomic<std::int64_t>> now_;
};

}  // namespace limitr::node
