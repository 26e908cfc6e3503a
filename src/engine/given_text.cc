// SPDX-License-Identifier: Apache-2.0
#include "engine/given_text.h"

#include <fmt/format.h>

#include "base/json_writer.h"

namespace limitr::engine {
namespace {

Error wrong_field(std::string_view field, std::string message) {
  return {.code = ErrorCode::invalid_argument,
          .message = std::move(message),
          .where = std::string(field)};
}

Error no_utf8(std::string_view field) {
  return wrong_field(field, fmt::format("`{}` must be valid UTF-8", field));
}

}  // namespace

std::optional<Error> wrong_text(std::string_view text, std::string_view field) {
  if (is_utf8(text)) return std::nullopt;
  return no_utf8(field);
}

std::optional<Error> wrong_text(const std::optional<std::string>& text, std::string_view field) {
  return text ? wrong_text(std::string_view(*text), field) : std::nullopt;
}

std::optional<Error> wrong_texts(const std::vector<std::string>& texts, std::string_view field) {
  for (const std::string& text : texts) {
    if (!is_utf8(text)) return no_utf8(field);
  }
  return std::nullopt;
}

std::optional<Error> wrong_object(const Json& json, std::string_view field) {
  if (json.is_null()) return std::nullopt;
  if (!json.is_object() || is_deeper_than(json, max_json_depth)) {
    return wrong_field(field, fmt::format("`{}` is null or an object at most {} levels deep", field,
                                          max_json_depth));
  }
  if (!has_only_utf8(json)) return no_utf8(field);
  return std::nullopt;
}

std::optional<Error> wrong_event_data(const Json& data) {
  if (!data.is_null()) return wrong_object(data, "event_data");
  return wrong_field("event_data", fmt::format("`event_data` is an object at most {} levels deep",
                                               max_json_depth));
}

std::optional<Error> wrong_context(const std::optional<Json>& context) {
  return context ? wrong_object(*context, "context") : std::nullopt;
}

}  // namespace limitr::engine
