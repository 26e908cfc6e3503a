// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/values.h"

#include <limits>

namespace limitr::store::postgres {
namespace {

void add_bytes(std::string& out, std::uint64_t number, unsigned bytes) {
  for (unsigned shift = 8 * bytes; shift > 0; shift -= 8) {
    out.push_back(static_cast<char>(static_cast<unsigned char>(number >> (shift - 8))));
  }
}

}  // namespace

void Array::add(std::string_view text) {
  add_bytes(items_, text.size(), 4);
  items_.append(text);
  ++size_;
}

void Array::add(std::int64_t number) {
  const unsigned bytes = element_ == Of::bigint ? 8 : element_ == Of::integer ? 4 : 1;
  add_bytes(items_, bytes, 4);
  add_bytes(items_, static_cast<std::uint64_t>(number), bytes);
  ++size_;
}

void Array::add_null() {
  add_bytes(items_, std::numeric_limits<std::uint32_t>::max(), 4);
  has_null_ = true;
  ++size_;
}

std::string Array::binary() const {
  std::string out;
  out.reserve(20 + items_.size());
  add_bytes(out, size_ == 0 ? 0 : 1, 4);  // dimensions
  add_bytes(out, has_null_ ? 1 : 0, 4);
  add_bytes(out, static_cast<std::uint32_t>(element_), 4);
  if (size_ == 0) return out;
  add_bytes(out, size_, 4);
  add_bytes(out, 1, 4);  // where it begins
  return out += items_;
}

Values& Values::add(std::string_view text) {
  values_.emplace_back(text);
  is_null_.push_back(false);
  return *this;
}

Values& Values::add(std::int64_t number) {
  std::string bytes;
  add_bytes(bytes, static_cast<std::uint64_t>(number), 8);
  values_.push_back(std::move(bytes));
  is_null_.push_back(false);
  return *this;
}

Values& Values::add(const Array& array) {
  values_.push_back(array.binary());
  is_null_.push_back(false);
  return *this;
}

Values& Values::add_flag(bool flag) { return add(std::string_view(flag ? "\1" : "\0", 1)); }

Values& Values::add_null() {
  values_.emplace_back();
  is_null_.push_back(true);
  return *this;
}

std::vector<const char*> Values::pointers() const {
  std::vector<const char*> all;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    all.push_back(is_null_[i] ? nullptr : values_[i].data());
  }
  return all;
}

std::vector<int> Values::lengths() const {
  std::vector<int> all;
  for (const std::string& value : values_) all.push_back(static_cast<int>(value.size()));
  return all;
}

std::int64_t number_of(std::string_view bytes) {
  if (bytes.empty()) return 0;
  std::uint64_t number = static_cast<signed char>(bytes[0]) < 0 && bytes.size() > 1
                             ? std::numeric_limits<std::uint64_t>::max()
                             : 0;
  for (const char byte : bytes) number = number << 8U | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(number);
}

std::vector<std::int64_t> numbers_of(std::string_view array) {
  std::vector<std::int64_t> numbers;
  constexpr std::size_t header = 20;  // dimensions, has NULLs, type, size, where it begins
  for (std::size_t at = header; at + 4 <= array.size();) {
    const auto bytes = static_cast<std::size_t>(number_of(array.substr(at, 4)));
    numbers.push_back(number_of(array.substr(at + 4, bytes)));
    at += 4 + bytes;
  }
  return numbers;
}

std::string array_literal(const std::vector<std::string>& texts) {
  std::string literal = "{";
  for (const std::string& text : texts) {
    if (literal.size() > 1) literal += ',';
    literal += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') literal += '\\';
      literal += c;
    }
    literal += '"';
  }
  return literal + "}";
}

}  // namespace limitr::store::postgres
