// SPDX-License-Identifier: Apache-2.0
#include "engine/requests.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json_writer.h"

namespace limitr::engine {
namespace {

// FNV-1a: the fingerprint is kept with the state, so it must be the same in every build.
std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

std::uint64_t fingerprint(const policy::Policy& policy, const core::CallInput& input) {
  const CallOptions& options = *input.options;
  std::string text;
  JsonWriter json(text);
  json.begin_array().value(input.entitlement.text(*policy.names));
  if (input.value.is_text()) {
    json.value(input.value.text());
  } else {
    json.value(input.value.number());
  }
  json.value(input.increments)
      .value(input.value_is_target)
      .value(options.overhead)
      .value(options.force);
  json.value(options.event_data.value_or(Json()));
  if (input.settles != nullptr) {
    json.value(input.settles->hold).value(input.settles->basis).value(input.settles->segment);
  }
  for (const CallCap& cap : options.caps) {
    json.value(cap.credit)
        .value(cap.value)
        .value(cap.overage_only)
        .value(cap.ignore_grants)
        .value(cap.observe_only)
        .value(cap.overhead_cost)
        .value(cap.hard_trailing);
  }
  json.end_array();
  return fnv1a(text);
}

}  // namespace

std::optional<Result<Decision>> repeated(const state::Customer& caller,
                                         const policy::Policy& policy,
                                         const core::CallInput& input) {
  const std::string_view id = input.options->request;
  for (const state::RememberedRequest& known : caller.more().requests) {
    if (known.id != id || input.now - known.at > policy.request_window) continue;
    if (known.fingerprint != fingerprint(policy, input)) {
      return Error{.code = ErrorCode::request_mismatch,
                   .message = fmt::format("request `{}` was made before with other arguments", id)};
    }
    Result<Decision> first = decision_from_json(known.answer);
    if (!first.ok()) return std::move(first).error();
    first->repeated = true;
    return first;
  }
  return std::nullopt;
}

void remember(state::Customer& caller, const policy::Policy& policy, const core::CallInput& input,
              const Decision& decision) {
  std::vector<state::RememberedRequest>& requests = caller.own_rest().requests;
  std::erase_if(requests, [&](const state::RememberedRequest& known) {
    return input.now - known.at > policy.request_window;
  });
  if (requests.size() >= policy.request_limit) {
    const auto too_many = static_cast<std::ptrdiff_t>(requests.size() - policy.request_limit + 1);
    requests.erase(requests.begin(), requests.begin() + too_many);
  }
  requests.push_back({.id = std::string(input.options->request),
                      .fingerprint = fingerprint(policy, input),
                      .answer = to_json(decision),
                      .at = input.now});
}

}  // namespace limitr::engine
