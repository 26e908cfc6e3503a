// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/error.h>
#include "state/record.h"

namespace limitr::state {

/// The part of a long text that is in memory. Offsets are those of the whole text. What was there
/// before the last release() may be gone after the next more(), and all views are.
class TextWindow {
public:
  /// A text that is in memory as a whole, and stays there; it is not copied.
  explicit TextWindow(std::string_view text) : held_(text), is_complete_(true) {}
  /// REQUIRES: `source` outlives the window.
  explicit TextWindow(const TextSource& source) : source_(&source) {}
  TextWindow(const TextWindow&) = delete;
  TextWindow& operator=(const TextWindow&) = delete;

  /// Behind the last byte that is in memory.
  std::size_t end() const { return base_ + held_.size(); }
  /// Whether end() is the end of the whole text.
  bool is_complete() const { return is_complete_; }
  bool has(std::size_t at) { return at < end() || more(); }
  /// REQUIRES: released <= at < end(), here and below.
  char operator[](std::size_t at) const { return held_[at - base_]; }
  std::string_view text(std::size_t from, std::size_t to) const {
    return held_.substr(from - base_, to - from);
  }
  /// The same, with SIMDJSON_PADDING readable bytes behind it. Until the next call.
  std::string_view padded(std::size_t from, std::size_t to);
  /// Gets more of the text behind what is there; false where it has ended.
  bool more();
  /// What stands before `at` is needed no more. REQUIRES: it does not go back.
  void release(std::size_t at) { released_ = at; }
  /// "line 3, byte 120": lines from 1, bytes of the whole text from 0.
  std::string place(std::size_t at);
  /// Why the source gave no more, if that was not the end.
  const std::optional<Error>& error() const { return error_; }

private:
  void make_room();
  void count_lines(std::size_t to);

  const TextSource* source_ = nullptr;
  std::string_view held_;  // all that is in memory, from base_ on
  std::size_t base_ = 0;
  std::size_t released_ = 0;
  std::vector<char> buffer_;  // what held_ lies in, and room behind it; empty without a source
  std::string copy_;          // of bytes that stand too close to the end of the memory
  bool is_complete_ = false;
  std::optional<Error> error_;
  std::size_t lines_ = 1;    // the line of...
  std::size_t counted_ = 0;  // ...this byte
};

}  // namespace limitr::state
