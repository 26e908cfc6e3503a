// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <limitr/event.h>
#include <limitr/options.h>
#include "call/arguments.h"
#include "policy/document.h"

namespace limitr::scenario {

/// Host functions for a scenario's `host`: each returns its number, or the numbers of its list in
/// turn, over and over. Null in a list fails that call; a notification's function matches unless it
/// returns 0. What a name is used for, the policy says, so each serves every use.
/// REQUIRES: check_host() found nothing.
HostFunctions host_functions(const policy::Node* host);
std::optional<call::FormatProblem> check_host(const policy::Node& host);

/// The engine's options from a scenario's `options`, which may be null; `otherwise` are the
/// bounds where they name none. REQUIRES: check_options() found nothing.
Options engine_options(const policy::Node* options, const DocumentBounds& otherwise);
std::optional<call::FormatProblem> check_options(const policy::Node& options);

}  // namespace limitr::scenario
