// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <limitr/options.h>
#include <limitr/result.h>
#include "call/arguments.h"
#include "policy/document.h"

// The options of an engine, where they are data: all that are not functions.
namespace limitr::call {

/// yaml, json or toml. Errors: invalid_argument.
Result<Format> format_from(std::string_view name);

/// Checks the bounds of documents. REQUIRES: `bounds` is not null.
std::optional<FormatProblem> check_bounds(const policy::Node& bounds, const std::string& path);
/// Puts the bounds that are given in place. `bounds` may be null. REQUIRES: check_bounds() found
/// them good.
void read_bounds(const policy::Node* bounds, DocumentBounds& into);

/// Engine options by their names in limitr/options.h; times in milliseconds.
/// Errors: invalid_argument, with the path of what is wrong.
Result<Options> engine_options(const policy::Node& options);
/// The same for an engine of a Cloud server; those of its `engine` stand beside the others.
Result<CloudOptions> cloud_options(const policy::Node& options);

}  // namespace limitr::call
