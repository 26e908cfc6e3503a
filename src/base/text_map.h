// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>
#include <absl/hash/hash.h>
#include <absl/strings/string_view.h>

namespace limitr {

/// Hashes text of any kind alike, so that maps keyed by std::string are searched without a copy.
/// Through absl's own string_view, which the distribution's build keeps apart from the standard's.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return absl::Hash<absl::string_view>()(absl::string_view(text.data(), text.size()));
  }
};

struct TextEqual {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return a == b; }
};

template <typename T>
using TextMap = absl::flat_hash_map<std::string, T, TextHash, TextEqual>;

}  // namespace limitr
