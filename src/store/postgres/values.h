// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// What goes to the server as values of a statement, in PostgreSQL's binary form: no text of ours is
// ever a piece of SQL, nor quoted.
namespace limitr::store::postgres {

/// An array of one dimension.
class Array {
public:
  enum class Of : std::uint32_t { boolean = 16, bigint = 20, integer = 23, text = 25 };

  explicit Array(Of element) : element_(element) {}

  void add(std::string_view text);
  void add(std::int64_t number);
  void add_null();

  std::size_t size() const { return size_; }
  std::size_t bytes() const { return items_.size(); }
  std::string binary() const;

private:
  Of element_;
  std::size_t size_ = 0;
  bool has_null_ = false;
  std::string items_;
};

class Values {
public:
  Values& add(std::string_view text);
  Values& add(std::int64_t number);
  Values& add(std::uint64_t number) { return add(static_cast<std::int64_t>(number)); }
  Values& add(const Array& array);
  Values& add_flag(bool flag);
  Values& add_null();

  std::size_t size() const { return values_.size(); }
  /// As libpq wants them. They live as long as this does.
  std::vector<const char*> pointers() const;
  std::vector<int> lengths() const;

private:
  std::vector<std::string> values_;
  std::vector<bool> is_null_;
};

/// As PostgreSQL has its integers.
inline std::int64_t as_signed(std::uint64_t number) { return static_cast<std::int64_t>(number); }

/// An integer of 1, 2, 4 or 8 bytes, the highest first.
std::int64_t number_of(std::string_view bytes);
/// The numbers, or flags, of an array without NULLs.
std::vector<std::int64_t> numbers_of(std::string_view array);

/// An array as PostgreSQL writes it: {"a","b"}.
std::string array_literal(const std::vector<std::string>& texts);

}  // namespace limitr::store::postgres
