// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace limitr::policy {

/// Where a YAML text has more than `most` values for certain, or is no YAML; none where it may have
/// fewer. Looks at the text only, in a fraction of the time that reading it takes, and gives up at
/// whatever it does not know for certain: a comment, an anchor, a block of text, an odd quote.
std::optional<std::size_t> find_yaml_excess(std::string_view text, std::size_t most);

}  // namespace limitr::policy
