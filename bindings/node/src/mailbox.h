// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <node_api.h>

namespace limitr::node {

/// Why a call failed.
struct Failure {
  std::string code;
  std::string message;
  std::string where;
};

/// What an engine's thread asks the JavaScript thread to do while it waits.
struct Question {
  /// Runs on the JavaScript thread.
  std::function<void()> ask;
  bool is_answered = false;  // guarded by the mailbox's mutex
};

/// What an engine's thread has to tell.
struct Message {
  enum class Kind : std::uint8_t { decision, answer, failure, event, log, question };

  Kind kind;
  double ticket = 0;  ///< Of decision, answer and failure: which call it is.
  bool allowed = false;
  std::string name = {};  ///< An event's type.
  std::string text = {};  ///< An answer, an event's payload, a line of the log.
  Failure failure = {};
  Question* question = nullptr;
};

/// Brings what an engine's threads have to tell to the JavaScript thread, in order, many at a time.
/// Does not keep the process alive unless hold() says so.
class Mailbox {
public:
  using Deliver = std::function<void(std::vector<Message>)>;

  /// `deliver` runs on the JavaScript thread, which this must be.
  Mailbox(napi_env env, Deliver deliver);
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  /// REQUIRES: close() was called.
  ~Mailbox() = default;

  /// From any thread. What comes after close() is dropped.
  void post(Message message);
  /// From an engine's thread: waits until `ask` ran on the JavaScript thread. False when it will
  /// not run any more.
  bool wait_for(std::function<void()> ask);
  /// While it is held, the process waits for what may still come.
  void hold(bool held);
  /// From then on nothing is delivered, and nobody waits.
  void close();

private:
  static void wake(napi_env env, napi_value, void* context, void*);
  void deliver();

  napi_env env_;
  Deliver deliver_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::vector<Message> messages_;                     // guarded by mutex_
  napi_threadsafe_function wake_function_ = nullptr;  // guarded by mutex_; null once closed
};

}  // namespace limitr::node
