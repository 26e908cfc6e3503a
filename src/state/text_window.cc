// SPDX-License-Identifier: Apache-2.0
#include "state/text_window.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <simdjson.h>

namespace limitr::state {
namespace {

constexpr std::size_t least_buffer = std::size_t{256} << 10U;
constexpr std::size_t padding = simdjson::SIMDJSON_PADDING;

}  // namespace

std::string_view TextWindow::padded(std::size_t from, std::size_t to) {
  const std::string_view bytes = text(from, to);
  const bool is_buffered = !buffer_.empty();  // There is padding behind whatever is in it.
  if (is_buffered || end() - to >= padding) return bytes;
  copy_.reserve(bytes.size() + padding);
  copy_.assign(bytes);
  return copy_;
}

bool TextWindow::more() {
  if (is_complete_) return false;
  make_room();
  const std::size_t held = held_.size();
  const std::span<char> room(buffer_.data() + held, buffer_.size() - padding - held);
  const Result<std::size_t> got = (*source_)(room);
  if (!got.ok()) error_ = got.error();
  const std::size_t count = error_ ? 0 : std::min(*got, room.size());
  is_complete_ = count == 0;
  held_ = {buffer_.data(), held + count};
  return count > 0;
}

// Drops what is needed no more, and grows the buffer where the rest fills half of it: so what is
// needed for long is not moved again and again.
void TextWindow::make_room() {
  count_lines(released_);
  const std::string_view kept = held_.substr(released_ - base_);
  if (kept.size() + padding > buffer_.size() / 2) {
    std::vector<char> larger(std::max(least_buffer, buffer_.size() * 2));
    if (!kept.empty()) std::memcpy(larger.data(), kept.data(), kept.size());
    buffer_ = std::move(larger);
  } else if (!kept.empty()) {
    std::memmove(buffer_.data(), kept.data(), kept.size());
  }
  base_ = released_;
  held_ = {buffer_.data(), kept.size()};
}

void TextWindow::count_lines(std::size_t to) {
  if (to <= counted_) return;
  const std::string_view passed = text(std::max(counted_, base_), to);
  lines_ += static_cast<std::size_t>(std::count(passed.begin(), passed.end(), '\n'));
  counted_ = to;
}

std::string TextWindow::place(std::size_t at) {
  if (at < counted_) {
    // Counted past it already: its line is as many before.
    const std::string_view passed = text(at, counted_);
    const auto between = std::count(passed.begin(), passed.end(), '\n');
    return fmt::format("line {}, byte {}", lines_ - static_cast<std::size_t>(between), at);
  }
  count_lines(at);
  return fmt::format("line {}, byte {}", lines_, at);
}

}  // namespace limitr::state
