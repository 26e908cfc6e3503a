// SPDX-License-Identifier: Apache-2.0
#include "engine/requests.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include "engine/engine.h"
#include "policy/document_reader.h"

namespace limitr::engine {
namespace {

using state::RememberedRequest;

constexpr std::size_t max_request_bytes = 200;

// FNV-1a: the fingerprint is kept with the state, so it must be the same in every build.
std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

bool is_forgotten(const RememberedRequest& known, Timestamp now, const policy::Policy& policy) {
  return now - known.at > policy.request_window;
}

Json parsed(const std::string& text) {
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// Reads an answer of each kind; false where the text is none.

bool read(const std::string& text, bool& answer) {
  const Json json = parsed(text);
  if (!json.is_boolean()) return false;
  answer = json.get<bool>();
  return true;
}

bool read(const std::string& text, std::optional<std::string>& id) {
  const Json json = parsed(text);
  if (!json.is_string()) return false;
  id = json.get<std::string>();
  return true;
}

bool read(const std::string& text, std::optional<MeasuredMargin>& answer) {
  const Json json = parsed(text);
  MeasuredMargin& margin = answer.emplace();
  const auto number = [&](const char* name, double& into) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_number()) return false;
    into = found->get<double>();
    return true;
  };
  return json.is_object() && number("charged", margin.charged) && number("costs", margin.costs) &&
         number("margin", margin.margin) && number("raw_margin", margin.raw_margin);
}

bool read(const std::string& text, Decision& answer) {
  Result<Decision> first = decision_from_json(text);
  if (!first.ok()) return false;
  answer = *std::move(first);
  answer.repeated = true;
  return true;
}

template <typename T>
Result<T> read_answer(const RememberedRequest& known) {
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    T answer{};
    if (read(known.answer, answer)) return answer;
    return Error{.code = ErrorCode::record_invalid,
                 .message = fmt::format("the answer kept for request `{}` cannot be read",
                                        policy::shown(known.id))};
  }
}

// What the call is named among those that are decided.
std::string_view name_of(const core::CallInput& input) {
  if (input.settles != nullptr) return "settle";
  if (input.value_is_target) return "set";
  if (input.increments != 0) return input.increments > 0 ? "increment" : "decrement";
  return "allow";
}

}  // namespace

std::optional<Error> wrong_request(std::string_view id) {
  if (id.size() <= max_request_bytes && is_utf8(id)) return std::nullopt;
  return Error{.code = ErrorCode::invalid_argument,
               .message = fmt::format("a request ID must be valid UTF-8 of at most {} bytes",
                                      max_request_bytes)};
}

void forget_requests(Locked& locked, state::CustomerRest& rest,
                     const std::function<bool(const RememberedRequest&)>& is_over) {
  std::vector<RememberedRequest>& requests = rest.requests;
  const auto first_kept = std::find_if_not(requests.begin(), requests.end(), is_over);
  if (std::any_of(first_kept, requests.end(), is_over)) {
    std::vector<RememberedRequest> before = requests;
    std::uint64_t number = rest.next_request();
    std::erase_if(requests, is_over);
    for (RememberedRequest& request : requests) request.number = number++;
    locked.note_pushed_out(before);
  } else {
    locked.note_pushed_out({requests.begin(), first_kept});
    requests.erase(requests.begin(), first_kept);
  }
}

void Once::begin(const Engine& engine, std::string_view call) {
  now_ = engine.now();
  fingerprint_ = fnv1a(call);
}

template <typename T>
std::optional<Result<T>> Once::answer(Locked& locked, bool found) const {
  if (auto wrong = wrong_request(request_)) return Result<T>(*std::move(wrong));
  if (locked.failure()) return Result<T>(*locked.failure());
  std::optional<Result<T>> answer;
  if (found) {
    answer = repeated<T>(locked);
  } else if constexpr (std::is_void_v<T>) {
    answer.emplace();
  } else {
    answer.emplace(T{});
  }
  if (!answer) return answer;
  if (auto finished = locked.finish(); !finished.ok()) {
    return Result<T>(std::move(finished).error());
  }
  return answer;
}

template <typename T>
std::optional<Result<T>> Once::repeated(const Locked& locked) const {
  if (!has_request()) return std::nullopt;
  for (const RememberedRequest& known : locked.family()[Family::caller].more().requests) {
    if (known.id != request_ || is_forgotten(known, now_, locked.policy())) continue;
    if (known.fingerprint == fingerprint_) return read_answer<T>(known);
    return Result<T>(
        Error{.code = ErrorCode::request_mismatch,
              .message = fmt::format("request `{}` was made before with other arguments",
                                     policy::shown(known.id))});
  }
  return std::nullopt;
}

void Once::keep(Locked& locked, std::string answer) const {
  const policy::Policy& policy = locked.policy();
  state::CustomerRest& rest = locked.family().at(Family::caller).own_rest();
  std::vector<RememberedRequest>& requests = rest.requests;
  const std::uint64_t number = rest.next_request();
  const auto is_over = [&](const RememberedRequest& known) {
    return is_forgotten(known, now_, policy);
  };
  if (std::any_of(requests.begin(), requests.end(), is_over)) {
    forget_requests(locked, rest, is_over);
  }
  requests.push_back({.number = std::max(number, rest.next_request()),
                      .id = std::string(request_),
                      .fingerprint = fingerprint_,
                      .answer = std::move(answer),
                      .at = now_});
  if (requests.size() <= policy.request_limit) return;
  const auto too_many = static_cast<std::ptrdiff_t>(requests.size() - policy.request_limit);
  locked.note_pushed_out({requests.begin(), requests.begin() + too_many});
  requests.erase(requests.begin(), requests.begin() + too_many);
}

void Once::remember(Locked& locked, const MeasuredMargin& first) const {
  if (!has_request()) return;
  std::string answer;
  JsonWriter(answer)
      .begin_object()
      .field("charged", first.charged)
      .field("costs", first.costs)
      .field("margin", first.margin)
      .field("raw_margin", first.raw_margin)
      .end_object();
  keep(locked, std::move(answer));
}

// What calls answer.
template std::optional<Result<void>> Once::answer(Locked&, bool) const;
template std::optional<Result<bool>> Once::answer(Locked&, bool) const;
template std::optional<Result<Decision>> Once::answer(Locked&, bool) const;
template std::optional<Read<std::string>> Once::answer(Locked&, bool) const;
template std::optional<Read<MeasuredMargin>> Once::answer(Locked&, bool) const;

Once once_of(Engine& engine, const core::CallInput& input) {
  const CallOptions& options = *input.options;
  const std::string_view entitlement = input.entitlement.text(engine.names());
  const std::string_view name = name_of(input);
  if (input.settles != nullptr) {
    return {engine, options.request, name, entitlement, input.value, options, *input.settles};
  }
  return {engine, options.request, name, entitlement, input.value, options};
}

}  // namespace limitr::engine
