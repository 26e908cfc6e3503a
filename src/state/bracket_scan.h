// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

namespace limitr::state {

/// Finds the end of a JSON object or list by its quotes and brackets alone, whatever else is wrong
/// inside. Takes the text in pieces, the first of which begins with the opening bracket. The kinds
/// of brackets are not told apart: whoever reads the value does that.
class BracketScan {
public:
  static constexpr std::size_t not_yet = std::string_view::npos;

  /// How much of `piece`, which follows what was given before, belongs to the value; not_yet where
  /// all of it does and the value goes on.
  std::size_t scan(std::string_view piece);
  /// How many brackets are open now.
  std::size_t depth() const { return depth_; }
  /// Whether what comes next is inside a text.
  bool is_in_text() const { return in_text_; }

private:
  bool step(char c);
  std::size_t scan_bytes(std::string_view piece);

  std::size_t depth_ = 0;
  bool in_text_ = false;
  bool escaped_ = false;  // The next byte has a backslash before it.
};

}  // namespace limitr::state
