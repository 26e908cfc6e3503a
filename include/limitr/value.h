// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

namespace limitr {

/// How much a call uses: a number in the credit's unit, or text with a unit ("2GB", "-3 MiB",
/// "1_000"). Negative values give usage back. The text is not copied: it must outlive the call.
/// See docs/policy.md, Numbers with units.
class Value {
public:
  template <typename T>
    requires(std::integral<T> || std::floating_point<T>)
  Value(T number) : number_(static_cast<double>(number)) {}  // NOLINT: implicit
  Value(std::string_view text)                               // NOLINT: implicit
      : text_(text.data()), size_(text.size()) {}
  Value(const char* text) : Value(std::string_view(text)) {}         // NOLINT: implicit
  Value(const std::string& text) : Value(std::string_view(text)) {}  // NOLINT: implicit
  Value(bool) = delete;

  bool is_text() const noexcept { return size_ != no_text; }
  /// REQUIRES: !is_text().
  double number() const noexcept { return number_; }
  /// REQUIRES: is_text().
  std::string_view text() const noexcept { return {text_, size_}; }

private:
  // Two words, so that a call passes it in registers.
  static constexpr std::size_t no_text = ~std::size_t{0};
  union {
    double number_;
    const char* text_;
  };
  std::size_t size_ = no_text;
};

}  // namespace limitr
