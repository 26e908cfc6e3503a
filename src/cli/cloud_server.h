// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "cli/cloud.h"

namespace limitr::cli {

/// Has a running server do it. Errors also: unconnected: it cannot be reached; unauthorized.
Result<Json> ask_server(const CloudUse& use, std::string_view what, const Json& args);

}  // namespace limitr::cli
