// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <limitr/result.h>
#include "base/amount.h"
#include "call/calls.h"

// How the engine's results become answers.
namespace limitr::call {

inline Answer failed(Error error) {
  return {.form = Answer::Form::failed, .error = std::move(error)};
}

inline Answer answer(Result<Decision> result) {
  if (!result.ok()) return failed(std::move(result).error());
  return {.form = Answer::Form::decision, .decision = std::move(*result)};
}

inline Answer answer(Result<void> result) {
  if (!result.ok()) return failed(std::move(result).error());
  return {.form = Answer::Form::nothing};
}

inline Json json_of(Json json) { return json; }
inline Json json_of(std::string text) { return text; }
inline Json json_of(const std::vector<std::string>& texts) { return texts; }
inline Json json_of(Millis length) { return length.count(); }
// A template, so that true does not become the number 1 on its way.
template <typename T>
  requires(std::same_as<T, bool> || std::same_as<T, double>)
Json json_of(T answer) {
  return answer;
}

template <typename T>
Answer answer(Result<T> result) {
  if (!result.ok()) return failed(std::move(result).error());
  return {.value = json_of(std::move(*result))};
}

template <typename T>
Answer answer(Result<std::optional<T>> result) {
  if (!result.ok()) return failed(std::move(result).error());
  return {.value = *result ? json_of(std::move(**result)) : Json()};
}

inline Answer answer(Result<std::optional<Timestamp>> result) {
  if (!result.ok()) return failed(std::move(result).error());
  return {.form = Answer::Form::moment, .value = *result ? Json(to_ms(**result)) : Json()};
}

/// An ID that was made, or none.
inline Answer answer(Answer::Form form, Result<std::optional<std::string>> result) {
  Answer made = answer(std::move(result));
  if (made.form == Answer::Form::value) made.form = form;
  return made;
}

inline Answer answer(const Result<LoadReport>& loaded) {
  if (!loaded.ok()) return failed(loaded.error());
  Json refused = Json::array();
  for (const LoadReport::Refused& one : loaded->refused)
    refused.push_back({{"id", one.id}, {"error", one.error.to_string()}});
  Json unmapped = Json::array();
  for (const LoadReport::Unmapped& one : loaded->unmapped)
    unmapped.push_back({{"customer", one.customer}, {"entitlement", one.entitlement}});
  return {.value = {{"loaded", loaded->loaded},
                    {"refused", std::move(refused)},
                    {"unmapped", std::move(unmapped)}}};
}

/// JSON text that the engine wrote.
inline Answer answer_json(Result<std::string> result) {
  if (!result.ok()) return failed(std::move(result).error());
  return {.form = Answer::Form::text, .text = std::move(*result)};
}

}  // namespace limitr::call
