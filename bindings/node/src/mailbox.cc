// SPDX-License-Identifier: Apache-2.0
#include "mailbox.h"

#include <utility>

namespace limitr::node {

Mailbox::Mailbox(napi_env env, Deliver deliver) : env_(env), deliver_(std::move(deliver)) {
  napi_value name = nullptr;
  napi_create_string_utf8(env, "limitr", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, wake,
                                  &wake_function_);
  hold(false);
}

void Mailbox::post(Message message) {
  const std::lock_guard lock(mutex_);
  if (wake_function_ == nullptr) return;
  messages_.push_back(std::move(message));
  // Whoever wakes the other thread does so for all that come until it looks.
  if (messages_.size() == 1) {
    napi_call_threadsafe_function(wake_function_, nullptr, napi_tsfn_nonblocking);
  }
}

bool Mailbox::wait_for(std::function<void()> ask) {
  Question question{.ask = std::move(ask)};
  post({.kind = Message::Kind::question, .question = &question});
  std::unique_lock lock(mutex_);
  answered_.wait(lock, [&] { return question.is_answered || wake_function_ == nullptr; });
  return question.is_answered;
}

void Mailbox::hold(bool held) {
  const std::lock_guard lock(mutex_);
  if (wake_function_ == nullptr) return;
  if (held) {
    napi_ref_threadsafe_function(env_, wake_function_);
  } else {
    napi_unref_threadsafe_function(env_, wake_function_);
  }
}

void Mailbox::close() {
  const std::lock_guard lock(mutex_);
  if (wake_function_ == nullptr) return;
  napi_release_threadsafe_function(std::exchange(wake_function_, nullptr), napi_tsfn_abort);
  messages_.clear();
  answered_.notify_all();
}

void Mailbox::wake(napi_env env, napi_value, void* context, void*) {
  // Without an environment what was left is only being cleared away.
  if (env != nullptr) static_cast<Mailbox*>(context)->deliver();
}

void Mailbox::deliver() {
  std::vector<Message> messages;
  {
    const std::lock_guard lock(mutex_);
    messages.swap(messages_);
  }
  std::vector<Message> batch;
  for (Message& message : messages) {
    if (message.kind != Message::Kind::question) {
      batch.push_back(std::move(message));
      continue;
    }
    if (!batch.empty()) deliver_(std::exchange(batch, {}));
    message.question->ask();
    const std::lock_guard lock(mutex_);
    message.question->is_answered = true;
    answered_.notify_all();
  }
  if (!batch.empty()) deliver_(std::move(batch));
}

}  // namespace limitr::node
