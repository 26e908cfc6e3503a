// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "engine/engine.h"

namespace limitr {

using core::CallInput;
using engine::Engine;

constinit const CallOptions default_call_options;

namespace {

CallInput input_of(core::EntitlementKey entitlement, Value value, const CallOptions& options) {
  return {.entitlement = entitlement,
          .value = value,
          .options = &options,
          .now = {},
          .host_overhead = {},
          .rates = {}};
}

CallInput increments_of(std::string_view entitlement, int increments, const CallOptions& options) {
  CallInput input = input_of(entitlement, 0, options);
  input.increments = increments;
  return input;
}

// All in one round trip, and all or none where the store fails.
std::vector<Result<Decision>> allow_many_shared(Engine& engine, std::span<const Call> calls) {
  using Decisions = std::vector<Result<Decision>>;
  Result<Decisions> decisions = engine.change([&]() -> Result<Decisions> {
    Decisions each;
    for (const Call& call : calls) {
      CallInput input = input_of(call.entitlement, call.value, call.options);
      each.push_back(engine.decide({call.customer}, input, /*commit=*/true));
    }
    return each;
  });
  if (decisions.ok()) return *std::move(decisions);
  return {calls.size(), Result<Decision>(std::move(decisions).error())};
}

}  // namespace

Result<Decision> Limitr::allow(std::string_view customer, std::string_view entitlement, Value value,
                               const CallOptions& options) {
  CallInput input = input_of(entitlement, value, options);
  return engine_->decide({customer}, input, /*commit=*/true);
}

Result<Decision> Limitr::check(std::string_view customer, std::string_view entitlement, Value value,
                               const CallOptions& options) {
  CallInput input = input_of(entitlement, value, options);
  return engine_->decide({customer}, input, /*commit=*/false);
}

Result<Decision> Limitr::allow(const Handle& handle, Value value, const CallOptions& options) {
  CallInput input = input_of(Engine::entitlement(handle), value, options);
  return engine_->decide(Engine::who(handle), input, /*commit=*/true);
}

Result<Decision> Limitr::check(const Handle& handle, Value value, const CallOptions& options) {
  CallInput input = input_of(Engine::entitlement(handle), value, options);
  return engine_->decide(Engine::who(handle), input, /*commit=*/false);
}

Result<Decision> Limitr::increment(std::string_view customer, std::string_view entitlement,
                                   const CallOptions& options) {
  CallInput input = increments_of(entitlement, 1, options);
  return engine_->decide({customer}, input, /*commit=*/true);
}

Result<Decision> Limitr::decrement(std::string_view customer, std::string_view entitlement,
                                   const CallOptions& options) {
  CallInput input = increments_of(entitlement, -1, options);
  return engine_->decide({customer}, input, /*commit=*/true);
}

Result<Decision> Limitr::check_increment(std::string_view customer, std::string_view entitlement,
                                         const CallOptions& options) {
  CallInput input = increments_of(entitlement, 1, options);
  return engine_->decide({customer}, input, /*commit=*/false);
}

Result<Decision> Limitr::check_decrement(std::string_view customer, std::string_view entitlement,
                                         const CallOptions& options) {
  CallInput input = increments_of(entitlement, -1, options);
  return engine_->decide({customer}, input, /*commit=*/false);
}

Result<Decision> Limitr::set(std::string_view customer, std::string_view entitlement, Value value,
                             const CallOptions& options) {
  CallInput input = input_of(entitlement, value, options);
  input.value_is_target = true;
  return engine_->decide({customer}, input, /*commit=*/true);
}

std::vector<Result<Decision>> Limitr::allow_many(std::span<const Call> calls) {
  if (engine_->sharing() != nullptr) return allow_many_shared(*engine_, calls);
  std::vector<Result<Decision>> decisions;
  decisions.reserve(calls.size());
  std::vector<std::vector<Engine::Rest>> rests(calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Call& call = calls[i];
    CallInput input = input_of(call.entitlement, call.value, call.options);
    const Engine::Deferral deferral(*engine_, rests[i]);
    decisions.push_back(engine_->decide({call.customer}, input, /*commit=*/true));
  }
  // All are in one group, or in two where one was just being cut.
  for (std::size_t i = 0; i < calls.size(); ++i) {
    for (Engine::Rest& rest : rests[i]) {
      if (auto completed = engine_->complete(std::move(rest)); !completed.ok()) {
        decisions[i] = std::move(completed).error();
      }
    }
  }
  return decisions;
}

Read<Handle> Limitr::handle(std::string_view customer, std::string_view entitlement) {
  return engine_->read([&]() -> Read<Handle> {
    engine::Locked locked(*engine_);
    if (!locked.find_family(customer)) return locked.none(std::optional<Handle>());
    const policy::Plan* plan = core::plan_of(locked.policy(), locked.family());
    const policy::Entitlement* found = plan == nullptr ? nullptr : plan->find(entitlement);
    if (found == nullptr) return engine_->answer(locked, std::optional<Handle>());
    return engine_->answer(locked, std::optional(Engine::make_handle(locked.slot(), found->name)));
  });
}

Result<void> Limitr::warm(std::span<const std::string> ids) {
  return engine_->read([&] { return engine_->warm(ids); });
}

Result<void> Limitr::flush() { return engine_->fold(); }

Result<std::uint64_t> Limitr::close() { return engine_->close(); }

Handle::Handle(const Handle& other) : slot_(other.slot_), entitlement_(other.entitlement_) {
  slot_->retain();
}

Handle::Handle(Handle&& other) noexcept
    : slot_(std::exchange(other.slot_, nullptr)), entitlement_(other.entitlement_) {}

Handle& Handle::operator=(Handle other) noexcept {
  std::swap(slot_, other.slot_);
  std::swap(entitlement_, other.entitlement_);
  return *this;
}

Handle::~Handle() {
  if (slot_ != nullptr) slot_->release();
}

}  // namespace limitr
