// SPDX-License-Identifier: Apache-2.0
#include "policy/typos.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <numeric>

namespace limitr::policy {
namespace {

constexpr std::size_t most_letters = 2;
constexpr std::size_t longest_short = 5;
constexpr std::size_t longest_known = 31;
constexpr std::size_t longest = longest_known + most_letters;

// REQUIRES: both are at most `longest` long.
std::size_t letters_between(std::string_view a, std::string_view b) {
  using Row = std::array<std::size_t, longest + 1>;
  Row before_last = {};
  Row last = {};
  Row row = {};
  std::iota(row.begin(), row.end(), 0U);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last = last;
    last = row;
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      const bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view meant_by(std::string_view key, std::span<const std::string_view> known) {
  std::string_view meant;
  std::size_t fewest = most_letters + 1;
  for (const std::string_view candidate : known) {
    assert(candidate.size() <= longest_known);
    const std::size_t most = candidate.size() <= longest_short ? 1 : most_letters;
    // Each letter that one has more than the other is a letter between them.
    if (key.size() > candidate.size() + most || candidate.size() > key.size() + most) continue;
    const std::size_t letters = letters_between(key, candidate);
    if (letters > most || letters >= fewest) continue;
    fewest = letters;
    meant = candidate;
  }
  return meant;
}

}  // namespace limitr::policy
