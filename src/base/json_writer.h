// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <limitr/json.h>
#include "base/amount.h"

namespace limitr {

/// The name of a member, put in quotes when it is compiled. It holds nothing that would have to be
/// escaped.
template <std::size_t N>
struct MemberName {
  consteval MemberName(const char (&name)[N]) {  // NOLINT(google-explicit-constructor)
    quoted[0] = ',';
    quoted[1] = '"';
    for (std::size_t i = 0; i + 1 < N; ++i) {
      const char c = name[i];
      if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') throw "not a plain name";
      quoted[i + 2] = c;
    }
    quoted[N + 1] = '"';
    quoted[N + 2] = ':';
  }
  char quoted[N + 3] = {};  ///< `,"name":`
};

/// Writes JSON text: the only code that does. Numbers are the shortest text that reads back as
/// the same double, whole ones without an exponent; a number that JSON cannot say is null.
/// Invalid UTF-8 becomes U+FFFD. The caller keeps the brackets balanced.
class JsonWriter {
public:
  /// Appends to `out`, which must outlive the writer.
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  /// The same with a name that is known when this is compiled: it only has to be appended.
  template <MemberName name>
  JsonWriter& key() {
    const std::string_view text(name.quoted, sizeof(name.quoted));
    out_.append(needs_comma_ ? text : text.substr(1));
    needs_comma_ = false;
    return *this;
  }

  JsonWriter& value(double number);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(Timestamp t) { return value(to_ms(t)); }
  JsonWriter& value(Millis length) { return value(length.count()); }
  JsonWriter& value(MaybeAmount x) { return x.has_value() ? value(*x) : null(); }
  JsonWriter& value(MaybeTime t) { return t.has_value() ? value(*t) : null(); }
  JsonWriter& value(const Json& json);
  template <typename T>
    requires std::same_as<T, bool>
  JsonWriter& value(T flag) {
    return raw(flag ? "true" : "false");
  }
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  JsonWriter& value(T number) {
    if constexpr (std::unsigned_integral<T>) return whole(std::uint64_t{number});
    return integer(static_cast<std::int64_t>(number));
  }
  template <typename T>
  JsonWriter& value(const std::optional<T>& x) {
    return x ? value(*x) : null();
  }
  JsonWriter& null() { return raw("null"); }
  /// JSON text that is already written.
  JsonWriter& raw(std::string_view json);

  /// key(name) and value(x) in one.
  template <typename T>
  JsonWriter& field(std::string_view name, const T& x) {
    return key(name).value(x);
  }
  template <MemberName name, typename T>
  JsonWriter& field(const T& x) {
    return key<name>().value(x);
  }

private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& integer(std::int64_t number);
  JsonWriter& whole(std::uint64_t number);
  void comma() {
    if (needs_comma_) out_.push_back(',');
    needs_comma_ = true;
  }
  void quoted(std::string_view text);

  std::string& out_;
  bool needs_comma_ = false;
};

/// Whether `text` is valid UTF-8: what is not would read back as something else.
bool is_utf8(std::string_view text);

/// Whether all text in a value is, names of members too. REQUIRES: not deeper than max_json_depth.
bool has_only_utf8(const Json& json);

/// Whether a value nests deeper than `levels`; whoever walks one does so on the stack.
bool is_deeper_than(const Json& json, int levels);

/// The levels that metadata and event data may nest.
inline constexpr int max_json_depth = 64;

/// Anything the writer takes, as text of its own.
template <typename T>
std::string to_json_text(const T& x) {
  std::string out;
  JsonWriter(out).value(x);
  return out;
}

}  // namespace limitr
