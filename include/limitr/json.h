// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

namespace limitr {

/// Dynamic data at the edges: event data, metadata, records, policy documents given as objects.
using Json = nlohmann::json;

}  // namespace limitr
