// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/keys.h"

#include "base/json_writer.h"
#include "store/postgres/sha256.h"

namespace limitr::store::postgres {
namespace {

// Two keys with their families must fit an index entry of 2,700 bytes.
constexpr std::size_t key_bytes_max = 500;
constexpr std::size_t odd_bytes_max = 250;

void add_hex(std::string& out, std::string_view bytes) {
  constexpr const char* digits = "0123456789abcdef";
  out.reserve(out.size() + 2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += digits[byte >> 4U];
    out += digits[byte & 15U];
  }
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool is_plain(std::string_view text) {
  return !is_odd(text) && text.find('\0') == std::string_view::npos && is_utf8(text);
}

}  // namespace

std::string column_text(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string odd = "\\x";
  add_hex(odd, text);
  return odd;
}

std::string text_of(std::string_view column) {
  if (!is_odd(column) || column.size() % 2 != 0) return std::string(column);
  std::string text;
  text.reserve(column.size() / 2);
  for (std::size_t i = 2; i < column.size(); i += 2) {
    const int high = digit_of(column[i]);
    const int low = digit_of(column[i + 1]);
    if (high < 0 || low < 0) return std::string(column);
    text += static_cast<char>(static_cast<unsigned char>(high * 16 + low));
  }
  return text;
}

std::string key_text(std::string_view text) {
  if (text.size() <= key_bytes_max && is_plain(text)) return std::string(text);
  std::string odd = "\\x";
  add_hex(odd, text.substr(0, odd_bytes_max));
  if (text.size() > odd_bytes_max) odd += "~" + sha256(text);
  return odd;
}

bool is_cut(std::string_view key) { return is_odd(key) && key.find('~') != std::string_view::npos; }

std::string_view family_of(std::string_view id) {
  const std::size_t open = id.find('{');
  if (open == std::string_view::npos) return id;
  const std::size_t close = id.find('}', open);
  if (close == std::string_view::npos || close == open + 1) return id;
  return id.substr(open + 1, close - open - 1);
}

Key key_of(std::string_view id) { return {.family = key_text(family_of(id)), .id = key_text(id)}; }

}  // namespace limitr::store::postgres
