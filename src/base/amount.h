// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include <limitr/time.h>

// Amounts are IEEE doubles. The 1e-9 rule lives here and nowhere else: every comparison that
// decides something compares both sides rounded to nine decimals; stored totals are never
// rounded; numbers in events and reads are rounded on the way out. spec: README.md, 1e-9 rule
namespace limitr::amount {

/// What a conversion gives when nothing bounds it.
inline constexpr double unbounded = 1e15;

/// rounded() of what is not whole.
double rounded_fraction(double x);

/// x rounded to nine decimals, half away from zero. Beyond 1e15 a double has no ninth decimal.
inline double rounded(double x) {
  // Most amounts are whole, and need no more than finding that out.
  if (std::fabs(x) < 1e15 && static_cast<double>(static_cast<std::int64_t>(x)) == x) return x;
  return rounded_fraction(x);
}

inline std::optional<double> rounded(std::optional<double> x) {
  return x ? std::optional(rounded(*x)) : std::nullopt;
}

// Rounding is monotonic, so numbers that already stand in order, or lie further apart than
// any rounding can bring together, need no rounding to be compared.
inline bool less_or_equal(double a, double b) {
  if (a <= b) return true;
  if (a - b > 2e-9) return false;
  return rounded(a) <= rounded(b);
}
inline bool less(double a, double b) { return !less_or_equal(b, a); }
inline bool equal(double a, double b) { return less_or_equal(a, b) && less_or_equal(b, a); }
inline bool is_zero(double x) { return equal(x, 0); }
inline bool is_positive(double x) { return less(0, x); }

/// Whether two sums of stored totals agree, which were never rounded: within a billionth of `size`,
/// the size of what was added up, or of `one`.
inline bool agree(double a, double b, double size, double one = 1) {
  return std::fabs(a - b) <= 1e-9 * std::fmax(one, size);
}

/// x, or the number nearest to it where it went beyond the range of a double. REQUIRES: not NaN.
inline double within_range(double x) {
  constexpr double largest = std::numeric_limits<double>::max();
  return x > largest ? largest : x < -largest ? -largest : x;
}

/// x, or zero where it is negative or too small to tell from zero.
inline double positive_part(double x) { return x < 1e-9 ? 0.0 : x; }

}  // namespace limitr::amount

namespace limitr {

/// A double that may be absent, in eight bytes. NaN stands for absent: no amount is ever NaN,
/// since NaN is refused wherever numbers enter.
class MaybeAmount {
public:
  MaybeAmount() = default;
  MaybeAmount(double x) : value_(x) {}                               // NOLINT: implicit
  MaybeAmount(std::optional<double> x) : value_(x ? *x : absent) {}  // NOLINT: implicit

  bool has_value() const { return !std::isnan(value_); }
  double operator*() const { return value_; }
  double value_or(double other) const { return has_value() ? value_ : other; }
  std::optional<double> optional() const {
    return has_value() ? std::optional(value_) : std::nullopt;
  }
  friend bool operator==(MaybeAmount a, MaybeAmount b) {
    return a.has_value() ? a.value_ == b.value_ : !b.has_value();
  }

private:
  static constexpr double absent = std::numeric_limits<double>::quiet_NaN();
  double value_ = absent;
};

/// A moment that may be absent, in eight bytes.
class MaybeTime {
public:
  MaybeTime() = default;
  MaybeTime(Timestamp t) : value_(t) {}                                         // NOLINT: implicit
  MaybeTime(std::optional<Timestamp> t) : value_(t ? *t : Timestamp::min()) {}  // NOLINT: implicit

  bool has_value() const { return value_ != Timestamp::min(); }
  Timestamp operator*() const { return value_; }
  std::optional<Timestamp> optional() const {
    return has_value() ? std::optional(value_) : std::nullopt;
  }
  friend bool operator==(MaybeTime, MaybeTime) = default;

private:
  Timestamp value_ = Timestamp::min();
};

inline Timestamp timestamp_from_ms(std::int64_t ms) { return Timestamp(Millis(ms)); }
inline std::int64_t to_ms(Timestamp t) { return t.time_since_epoch().count(); }

/// The bounds of every moment and duration that enters: about 285,000 years either way, so
/// that no sum of two of them overflows.
inline constexpr std::int64_t time_bound_ms = 9'000'000'000'000'000;

}  // namespace limitr
