// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "engine/engine.h"

// Calls whose answers are not waited for: one thread can have thousands on their way, which share
// what it takes to make them safe.
namespace limitr {
namespace {

using engine::Engine;

// What was made, as far as it has come.
class Later {
public:
  Later(Engine& engine, std::function<void()> calls, std::function<void(Result<void>)> then)
      : engine_(engine), calls_(std::move(calls)), then_(std::move(then)) {}

  void make() { calls_(); }
  // Makes the calls, and leaves open what their groups in the journal are to become: the last one.
  std::uint64_t begin() {
    const Engine::Deferral deferral(engine_, rests_);
    calls_();
    std::uint64_t last = 0;
    for (const Engine::Rest& rest : rests_) last = std::max(last, rest.group);
    return last;
  }
  void complete() {
    Result<void> safe;
    for (Engine::Rest& rest : rests_) {
      auto completed = engine_.complete(std::move(rest));
      if (safe.ok()) safe = std::move(completed);
    }
    tell(std::move(safe));
  }
  void tell(Result<void> safe) const {
    try {
      then_(std::move(safe));
    } catch (const std::exception& thrown) {
      engine_.log(fmt::format("what was to be done after a call threw: {}", thrown.what()));
    } catch (...) {
      engine_.log("what was to be done after a call threw");
    }
  }

private:
  Engine& engine_;
  const std::function<void()> calls_;
  const std::function<void(Result<void>)> then_;
  std::vector<Engine::Rest> rests_;
};

// A call with texts of its own, and its answer.
struct OwnCall {
  explicit OwnCall(const Call& call)
      : customer(call.customer),
        entitlement(call.entitlement),
        value_text(call.value.is_text() ? call.value.text() : std::string_view()),
        request(call.options.request),
        value(call.value.is_text() ? Value(value_text) : call.value),
        options(call.options) {
    options.request = request;
  }
  OwnCall(const OwnCall&) = delete;
  OwnCall& operator=(const OwnCall&) = delete;

  const std::string customer;
  const std::string entitlement;
  const std::string value_text;
  const std::string request;
  const Value value;
  CallOptions options;
  Result<Decision> answer{Decision()};
};

Error too_many(std::size_t most) {
  return {
      .code = ErrorCode::store_unavailable,
      .message = fmt::format("{} calls wait for the store, which is as many as may: nothing has "
                             "changed",
                             most)};
}

}  // namespace

void Limitr::run_async(std::function<void()> calls, std::function<void(Result<void>)> then,
                       std::string_view about) {
  const auto later = std::make_shared<Later>(*engine_, std::move(calls), std::move(then));
  bool is_taken = true;
  if (engine_->sharing() != nullptr && !engine_->sharing()->has_later() &&
      engine_->decides_at_home()) {
    // Nobody is before it, and it may need nobody.
    engine::AtHome at_home(*engine_);
    later->make();
    if (at_home.holds()) return later->tell({});
  }
  if (engine_->sharing() != nullptr) {
    is_taken = engine_->sharing()->run_later(
        [later] { later->make(); },
        [later](const std::optional<Error>& failure) {
          later->tell(failure ? Result<void>(*failure) : Result<void>());
        },
        std::string(about));
  } else if (engine_->journal() != nullptr) {
    is_taken = engine_->journal()->run_later([later] { return later->begin(); },
                                             [later] { later->complete(); });
  } else {
    later->make();
    later->tell({});
  }
  if (!is_taken) later->tell(too_many(engine_->options().max_unwritten));
}

void Limitr::allow_async(const Call& call, std::function<void(Result<Decision>)> then) {
  const auto own = std::make_shared<OwnCall>(call);
  run_async(
      // The engine stays where it is when its Limitr moves.
      [own, engine = engine_.get()] {
        core::CallInput input{.entitlement = std::string_view(own->entitlement),
                              .value = own->value,
                              .options = &own->options,
                              .now = {},
                              .host_overhead = {},
                              .rates = {}};
        own->answer = engine->decide({own->customer}, input, /*commit=*/true);
      },
      [own, then = std::move(then)](const Result<void>& safe) {
        then(safe.ok() ? std::move(own->answer) : Result<Decision>(safe.error()));
      },
      own->customer);
}

std::future<Result<Decision>> Limitr::allow_async(const Call& call) {
  const auto answer = std::make_shared<std::promise<Result<Decision>>>();
  std::future<Result<Decision>> future = answer->get_future();
  allow_async(call,
              [answer](Result<Decision> decision) { answer->set_value(std::move(decision)); });
  return future;
}

}  // namespace limitr
