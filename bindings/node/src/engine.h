// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <limitr/c_api.h>
#include <napi.h>
#include "clock.h"
#include "mailbox.h"

namespace limitr::node {

/// One engine. JavaScript sets three functions on it, which it calls:
///
///   onEvent(type, payload)   an event, while the call that caused it is being made
///   onMessages(list)         what the engine's threads have to tell; see messages_of()
///   onHost(kind, name, ...)  a host function: its number, or undefined when it failed
///
/// A call that fails gives [code, message, where] in place of its answer; nothing is thrown.
///
/// INVARIANTS
/// 1. The engine calls JavaScript only on the thread that JavaScript runs on: at once where that
///    thread is in one of the engine's calls, else through the mailbox.
/// 2. The engine is gone before the mailbox is, and the mailbox is closed before the environment is
///    torn down: no thread of the engine finds either gone.
class Engine : public Napi::ObjectWrap<Engine> {
public:
  static Napi::Function define(Napi::Env env);
  /// (names of host functions: [[kind, name], ...], whether there is a log, a clock or undefined)
  explicit Engine(const Napi::CallbackInfo& info);
  ~Engine() override;

private:
  enum class Whose : std::int32_t;
  class Opening;
  class Closing;
  struct HostFunction;
  friend struct HostFunction;

  // What JavaScript calls.
  Napi::Value open(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value call(const Napi::CallbackInfo& info);
  void call_async(const Napi::CallbackInfo& info);
  void allow_async(const Napi::CallbackInfo& info);
  void listen(const Napi::CallbackInfo& info);
  void hold(const Napi::CallbackInfo& info);
  Napi::Value handle(const Napi::CallbackInfo& info);
  void drop_handles(const Napi::CallbackInfo& info);
  static napi_value decide(napi_env env, napi_callback_info info);
  static napi_value allow(napi_env env, napi_callback_info info);

  static void on_teardown(void* engine);

  // What the engine calls.
  static void on_event(void* data, const limitr_event* event);
  static void on_log(void* data, limitr_view message);
  static std::int64_t on_now(void* data);

  bool is_javascript_thread() const { return std::this_thread::get_id() == javascript_thread_; }
  void deliver(const std::vector<Message>& messages);
  /// Calls one of the functions that JavaScript has set; null where that cannot be.
  napi_value call_javascript(const char* function, const std::vector<napi_value>& arguments);
  void free_handles();
  void shut();

  const std::thread::id javascript_thread_ = std::this_thread::get_id();
  std::unique_ptr<Mailbox> mailbox_;
  std::shared_ptr<const std::atomic<std::int64_t>> clock_;
  std::deque<HostFunction> functions_;
  bool has_log_ = false;
  bool is_shut_ = false;  // the environment is being torn down
  limitr_engine* engine_ = nullptr;
  std::vector<limitr_handle*> handles_;  // by the numbers that JavaScript knows them by
};

/// [code, message, where]; frees the error.
Napi::Value failure_of(Napi::Env env, limitr_error* error);

}  // namespace limitr::node
