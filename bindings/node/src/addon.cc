// SPDX-License-Identifier: Apache-2.0
#include <limitr/c_api.h>
#include <napi.h>
#include "clock.h"
#include "engine.h"

// The addon: converts values and calls the C interface. Nothing is decided here.
namespace limitr::node {
namespace {

limitr_view view(const std::string& text) { return {text.data(), text.size()}; }

Napi::Value text_or_failure(Napi::Env env, limitr_string* answer, limitr_error* error) {
  if (answer == nullptr) return failure_of(env, error);
  const limitr_view text = limitr_string_view(answer);
  const Napi::Value value = Napi::String::New(env, text.data, text.size);
  limitr_string_free(answer);
  return value;
}

Napi::Value version(const Napi::CallbackInfo& info) {
  const limitr_view text = limitr_version();
  return Napi::String::New(info.Env(), text.data, text.size);
}

Napi::Value calls(const Napi::CallbackInfo& info) {
  return text_or_failure(info.Env(), limitr_calls(), nullptr);
}

// (policy, options): its problems as JSON.
Napi::Value validate(const Napi::CallbackInfo& info) {
  const std::string policy = info[0].As<Napi::String>();
  const std::string options = info[1].As<Napi::String>();
  limitr_error* error = nullptr;
  limitr_string* issues = limitr_validate(view(policy), view(options), &error);
  return text_or_failure(info.Env(), issues, error);
}

// (before, its options, after, its options): where they differ, as JSON.
Napi::Value difference(const Napi::CallbackInfo& info) {
  const std::string before = info[0].As<Napi::String>();
  const std::string before_options = info[1].As<Napi::String>();
  const std::string after = info[2].As<Napi::String>();
  const std::string after_options = info[3].As<Napi::String>();
  limitr_error* error = nullptr;
  limitr_string* found = limitr_difference(view(before), view(before_options), view(after),
                                           view(after_options), &error);
  return text_or_failure(info.Env(), found, error);
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("Engine", Engine::define(env));
  exports.Set("ManualClock", ManualClock::define(env));
  exports.Set("version", Napi::Function::New<version>(env, "version"));
  exports.Set("calls", Napi::Function::New<calls>(env, "calls"));
  exports.Set("validate", Napi::Function::New<validate>(env, "validate"));
  exports.Set("difference", Napi::Function::New<difference>(env, "difference"));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, init)

}  // namespace limitr::node
