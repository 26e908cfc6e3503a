// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <limitr/result.h>
#include <limitr/time.h>
#include <limitr/value.h>

namespace limitr {

/// The unit that meters of a credit keep: a named unit ("MB", "s"), "float" for plain numbers,
/// or "int" for whole plain numbers. spec: policy.md, Numbers with units
class Unit {
public:
  /// Plain numbers ("float").
  Unit() = default;
  /// The unit of that name, "float" and "int" included; none where there is no such unit.
  static std::optional<Unit> find(std::string_view name);

  bool is_float() const { return index_ == float_index; }
  bool is_int() const { return index_ == int_index; }
  std::string_view name() const;

  friend bool operator==(Unit, Unit) = default;

private:
  friend Result<double> quantity(std::string_view text, Unit unit);
  static constexpr std::int16_t float_index = -1;
  static constexpr std::int16_t int_index = -2;
  std::int16_t index_ = float_index;  // into the table of units
};

/// The number of a quantity as users write it ("2GB", "1_000", "-3 MiB"), in `unit`.
/// Errors: invalid_value, saying whether it is no number, names an unknown unit, does not convert
/// to `unit`, or is beyond the range of a double.
Result<double> quantity(std::string_view text, Unit unit);

/// The same for a call's value: a number is already in `unit`; "int" cuts toward zero.
Result<double> quantity(const Value& value, Unit unit);

/// Whether a call's value stands for itself in `unit`: then quantity() has nothing to do.
inline bool is_plain(const Value& value, Unit unit) {
  return !value.is_text() && !unit.is_int() && std::isfinite(value.number());
}

/// The number of a quantity as written, its unit read but not applied: "2GB" is 2.
Result<double> quantity_as_written(std::string_view text);

/// A duration: a time value ("30days", "10min"), or a bare number of milliseconds, to the nearest
/// millisecond. Errors: invalid_value.
Result<Millis> duration(const Value& value);

}  // namespace limitr
