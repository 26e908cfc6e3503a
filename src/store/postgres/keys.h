// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

// How any text stands in columns, which take no NUL and only UTF-8, and in keys, which take no long
// ones. What is written here is part of the format.
namespace limitr::store::postgres {

/// The text itself; one that a column does not take, or that begins with `\x`, is `\x` and its
/// bytes as hex digits.
std::string column_text(std::string_view text);
/// What column_text() was made of. A column that it cannot have made is given as it is.
std::string text_of(std::string_view column);

/// As column_text(), but a text that is too long for a key is its beginning, `~` and a sum of all
/// of it. Keys of `\x` are in the order of their bytes, as far as the key has them.
std::string key_text(std::string_view text);
/// Whether the key is not the text itself, and so stands elsewhere in their order.
inline bool is_odd(std::string_view key) { return key.starts_with("\\x"); }
/// Whether the key is too short to tell the text.
bool is_cut(std::string_view key);

/// What the customers of one family share: what stands in the first pair of braces, if anything
/// does, else the whole.
std::string_view family_of(std::string_view id);

struct Key {
  std::string family;
  std::string id;
  friend auto operator<=>(const Key&, const Key&) = default;
};

Key key_of(std::string_view id);

}  // namespace limitr::store::postgres
