// SPDX-License-Identifier: Apache-2.0
#include "clock.h"

namespace limitr::node {

Napi::Function ManualClock::define(Napi::Env env) {
  return DefineClass(env, "ManualClock",
                     {InstanceMethod<&ManualClock::get>("get", napi_default_method),
                      InstanceMethod<&ManualClock::set>("set", napi_default_method)});
}

ManualClock::ManualClock(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ManualClock>(info), now_(std::make_shared<std::atomic<std::int64_t>>(0)) {
  if (info.Length() > 0 && !info[0].IsUndefined()) set(info);
}

Napi::Value ManualClock::get(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(now_->load()));
}

void ManualClock::set(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) {
    Napi::TypeError::New(info.Env(), "ms: expected a number").ThrowAsJavaScriptException();
    return;
  }
  now_->store(info[0].As<Napi::Number>().Int64Value());
}

}  // namespace limitr::node
