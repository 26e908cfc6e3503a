// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "engine/engine.h"

// Calls whose answers are not waited for: one thread can have thousands on their way, which share
// what it takes to make them safe.
namespace limitr {
namespace {

using engine::Engine;

// A call with texts of its own, and what has become of it so far.
class LaterCall {
public:
  LaterCall(Engine& engine, const Call& call, std::function<void(Result<Decision>)> then)
      : engine_(engine),
        customer_(call.customer),
        entitlement_(call.entitlement),
        value_text_(call.value.is_text() ? call.value.text() : std::string_view()),
        request_(call.options.request),
        value_(call.value.is_text() ? Value(value_text_) : call.value),
        options_(call.options),
        then_(std::move(then)) {
    options_.request = request_;
  }
  LaterCall(const LaterCall&) = delete;
  LaterCall& operator=(const LaterCall&) = delete;

  // Decides, and leaves open what its group in the journal is to become.
  std::uint64_t begin() {
    core::CallInput input = this->input();
    answer_ = engine_.decide({customer_}, input, /*commit=*/true, rest_);
    return rest_.group;
  }
  void decide() {
    core::CallInput input = this->input();
    answer_ = engine_.decide({customer_}, input, /*commit=*/true);
  }
  void complete() {
    if (auto completed = engine_.complete(std::move(rest_)); !completed.ok()) {
      answer_ = std::move(completed).error();
    }
    answer();
  }
  void complete(const std::optional<Error>& failure) {
    if (failure) answer_ = *failure;
    answer();
  }

private:
  core::CallInput input() {
    return {.entitlement = std::string_view(entitlement_),
            .value = value_,
            .options = &options_,
            .now = {},
            .host_overhead = {},
            .rates = {}};
  }
  void answer() {
    try {
      then_(std::move(answer_));
    } catch (const std::exception& thrown) {
      engine_.log(fmt::format("what was to be done after a call by `{}` threw: {}", customer_,
                              thrown.what()));
    } catch (...) {
      engine_.log(fmt::format("what was to be done after a call by `{}` threw", customer_));
    }
  }

  Engine& engine_;
  const std::string customer_;
  const std::string entitlement_;
  const std::string value_text_;
  const std::string request_;
  const Value value_;
  CallOptions options_;
  const std::function<void(Result<Decision>)> then_;
  Engine::Rest rest_;
  Result<Decision> answer_{Decision()};
};

Error too_many(std::size_t most) {
  return {
      .code = ErrorCode::store_unavailable,
      .message = fmt::format("{} calls wait for the store, which is as many as may: nothing has "
                             "changed",
                             most)};
}

}  // namespace

void Limitr::allow_async(const Call& call, std::function<void(Result<Decision>)> then) {
  const auto later = std::make_shared<LaterCall>(*engine_, call, std::move(then));
  bool is_taken = true;
  if (engine_->sharing() != nullptr) {
    is_taken = engine_->sharing()->run_later(
        [later] { later->decide(); },
        [later](const std::optional<Error>& failure) { later->complete(failure); });
  } else if (engine_->journal() != nullptr) {
    is_taken = engine_->journal()->run_later([later] { return later->begin(); },
                                             [later] { later->complete(); });
  } else {
    later->decide();
    later->complete(std::nullopt);
  }
  if (!is_taken) later->complete(too_many(engine_->options().max_unwritten));
}

std::future<Result<Decision>> Limitr::allow_async(const Call& call) {
  const auto answer = std::make_shared<std::promise<Result<Decision>>>();
  std::future<Result<Decision>> future = answer->get_future();
  allow_async(call,
              [answer](Result<Decision> decision) { answer->set_value(std::move(decision)); });
  return future;
}

}  // namespace limitr
