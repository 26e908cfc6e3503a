// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/error.h>
#include <limitr/json.h>

// Text that a call gives and the state keeps. What is not UTF-8 would be written as something else
// than it is, so it is refused where it enters. Each answers with what is wrong, none where nothing
// is. Errors: invalid_argument, with the field as `where`.
namespace limitr::engine {

std::optional<Error> wrong_text(std::string_view text, std::string_view field);
std::optional<Error> wrong_text(const std::optional<std::string>& text, std::string_view field);
std::optional<Error> wrong_texts(const std::vector<std::string>& texts, std::string_view field);
/// For metadata: an object, or null.
std::optional<Error> wrong_object(const Json& json, std::string_view field);
/// For what a call says of its own event.
std::optional<Error> wrong_event_data(const Json& data);
/// For what stands in the place of event data where there is no event.
std::optional<Error> wrong_context(const std::optional<Json>& context);

}  // namespace limitr::engine
