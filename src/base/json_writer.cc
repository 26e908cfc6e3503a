// SPDX-License-Identifier: Apache-2.0
#include "base/json_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace limitr {
namespace {

// Characters that a JSON string cannot hold as they are; bytes past ASCII need a look as UTF-8.
constexpr std::array<bool, 256> plain = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0x20; c < 0x80; ++c) table[c] = c != '"' && c != '\\' && c != 0x7f;
  return table;
}();

// The length of the valid UTF-8 sequence that begins `text`, or 0.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return follows(1) ? 2 : 0;
  if ((lead & 0xF0U) == 0xE0) {
    if (!follows(1) || !follows(2)) return 0;
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
    return overlong || surrogate ? 0 : 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    const bool overlong = lead == 0xF0 && byte(1) < 0x90;
    const bool beyond = lead == 0xF4 && byte(1) >= 0x90;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

}  // namespace

JsonWriter& JsonWriter::open(char bracket) {
  comma();
  out_.push_back(bracket);
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_.push_back(bracket);
  needs_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  comma();
  quoted(name);
  out_.push_back(':');
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  comma();
  out_.append(json);
  return *this;
}

JsonWriter& JsonWriter::integer(std::int64_t number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  return raw({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

JsonWriter& JsonWriter::whole(std::uint64_t number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  return raw({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

JsonWriter& JsonWriter::value(double number) {
  if (!std::isfinite(number)) return null();
  // Readers take "-0" for a whole number, which has no negative zero.
  if (number == 0 && std::signbit(number)) return raw("-0.0");
  const bool whole = std::fabs(number) < 1e15 && number == std::trunc(number);
  if (whole) return integer(static_cast<std::int64_t>(number));
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  return raw({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

JsonWriter& JsonWriter::value(std::string_view text) {
  comma();
  quoted(text);
  return *this;
}

void JsonWriter::quoted(std::string_view text) {
  out_.push_back('"');
  while (!text.empty()) {
    std::size_t run = 0;
    while (run < text.size() && plain[static_cast<unsigned char>(text[run])]) ++run;
    out_.append(text.substr(0, run));
    text.remove_prefix(run);
    if (text.empty()) break;
    const auto c = static_cast<unsigned char>(text.front());
    if (c >= 0x80) {
      const std::size_t length = utf8_length(text);
      out_.append(length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, length));
      text.remove_prefix(length == 0 ? 1 : length);
      continue;
    }
    switch (c) {
      case '"': out_.append("\\\""); break;
      case '\\': out_.append("\\\\"); break;
      case '\n': out_.append("\\n"); break;
      case '\r': out_.append("\\r"); break;
      case '\t': out_.append("\\t"); break;
      default: {
        constexpr std::string_view hex = "0123456789abcdef";
        out_.append("\\u00");
        out_.push_back(hex[c >> 4U]);
        out_.push_back(hex[c & 0xFU]);
      }
    }
    text.remove_prefix(1);
  }
  out_.push_back('"');
}

JsonWriter& JsonWriter::value(const Json& json) {
  switch (json.type()) {
    case Json::value_t::object:
      begin_object();
      for (const auto& [name, member] : json.items()) field(name, member);
      return end_object();
    case Json::value_t::array:
      begin_array();
      for (const Json& element : json) value(element);
      return end_array();
    case Json::value_t::string: return value(json.get_ref<const std::string&>());
    case Json::value_t::boolean: return value(json.get<bool>());
    case Json::value_t::number_integer: return value(json.get<std::int64_t>());
    case Json::value_t::number_unsigned: return value(json.get<std::uint64_t>());
    case Json::value_t::number_float: return value(json.get<double>());
    default: return null();
  }
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool has_only_utf8(const Json& json) {
  if (json.is_string()) return is_utf8(json.get_ref<const std::string&>());
  if (json.is_array()) return std::all_of(json.begin(), json.end(), has_only_utf8);
  if (!json.is_object()) return true;
  const auto& members = json.get_ref<const Json::object_t&>();
  return std::all_of(members.begin(), members.end(), [](const auto& member) {
    return is_utf8(member.first) && has_only_utf8(member.second);
  });
}

bool is_deeper_than(const Json& json, int levels) {
  if (!json.is_structured()) return false;
  if (levels == 0) return true;
  return std::any_of(json.begin(), json.end(),
                     [&](const Json& part) { return is_deeper_than(part, levels - 1); });
}

}  // namespace limitr
