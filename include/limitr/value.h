// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace limitr {

/// How much a call uses: a number in the credit's unit, or text with a unit ("2GB", "-3 MiB",
/// "1_000"). Negative values give usage back. The text is not copied: it must outlive the call.
/// spec: policy.md, Numbers with units
class Value {
public:
  template <typename T>
    requires(std::integral<T> || std::floating_point<T>)
  Value(T number) : number_(static_cast<double>(number)) {}          // NOLINT: implicit
  Value(std::string_view text) : text_(text), is_text_(true) {}      // NOLINT: implicit
  Value(const char* text) : Value(std::string_view(text)) {}         // NOLINT: implicit
  Value(const std::string& text) : Value(std::string_view(text)) {}  // NOLINT: implicit
  Value(bool) = delete;

  bool is_text() const noexcept { return is_text_; }
  /// REQUIRES: !is_text().
  double number() const noexcept { return number_; }
  /// REQUIRES: is_text().
  std::string_view text() const noexcept { return text_; }

private:
  double number_ = 0;
  std::string_view text_;
  bool is_text_ = false;
};

}  // namespace limitr
