// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include <limitr/policy.h>
#include "base/json_writer.h"

// What is said of policies, as JSON.
namespace limitr::call {

/// "error" or "warning".
std::string_view severity_name(const Issue& issue);
/// "added", "removed" or "changed".
std::string_view kind_name(const Difference& difference);

/// A list of {severity, path, message, line, column}.
void write(JsonWriter& out, const std::vector<Issue>& issues);
/// A list of {kind, path, before, after}; a side without a value has no member.
void write(JsonWriter& out, const std::vector<Difference>& differences);

}  // namespace limitr::call
