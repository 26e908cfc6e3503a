// SPDX-License-Identifier: Apache-2.0
#include "base/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include <fmt/format.h>

#include "base/amount.h"
#include "base/text_map.h"

namespace limitr {
namespace {

enum class Kind : std::uint8_t { memory, time, length, mass, temperature, angle };

// A number x of a unit is x * factor + offset of its kind's base unit.
struct Measure {
  std::string_view names;  // The short one first.
  Kind kind;
  double factor;
  double offset = 0;

  constexpr std::string_view name() const { return names.substr(0, names.find(' ')); }
};

constexpr double degree = std::numbers::pi / 180;

constexpr auto measures = std::to_array<Measure>({
    {"bit bits", Kind::memory, 0.125},
    {"byte bytes", Kind::memory, 1},
    {"KB kilobyte kilobytes", Kind::memory, 1e3},
    {"KiB kibibyte kibibytes", Kind::memory, 0x1p10},
    {"MB megabyte megabytes", Kind::memory, 1e6},
    {"MiB mebibyte mebibytes", Kind::memory, 0x1p20},
    {"GB gigabyte gigabytes", Kind::memory, 1e9},
    {"GiB gibibyte gibibytes", Kind::memory, 0x1p30},
    {"TB terabyte terabytes", Kind::memory, 1e12},
    {"TiB tebibyte tebibytes", Kind::memory, 0x1p40},
    {"PB petabyte petabytes", Kind::memory, 1e15},
    {"PiB pebibyte pebibytes", Kind::memory, 0x1p50},
    {"EB exabyte exabytes", Kind::memory, 1e18},
    {"EiB exbibyte exbibytes", Kind::memory, 0x1p60},
    {"ZB zettabyte zettabytes", Kind::memory, 1e21},
    {"ZiB zebibyte zebibytes", Kind::memory, 0x1p70},
    {"YB yottabyte yottabytes", Kind::memory, 1e24},
    {"YiB yobibyte yobibytes", Kind::memory, 0x1p80},
    {"ns nanosecond nanoseconds", Kind::time, 1e-9},
    {"us microsecond microseconds", Kind::time, 1e-6},
    {"ms millisecond milliseconds", Kind::time, 1e-3},
    {"s second seconds", Kind::time, 1},
    {"min minute minutes", Kind::time, 60},
    {"hr hour hours", Kind::time, 3600},
    {"day days", Kind::time, 86400},
    {"km kilometer kilometers", Kind::length, 1e3},
    {"hm hectometer hectometers", Kind::length, 100},
    {"dcm decameter decameters", Kind::length, 10},
    {"m meter meters", Kind::length, 1},
    {"dm decimeter decimeters", Kind::length, 0.1},
    {"cm centimeter centimeters", Kind::length, 0.01},
    {"mm millimeter millimeters", Kind::length, 1e-3},
    {"um micrometer micrometers", Kind::length, 1e-6},
    {"nm nanometer nanometers", Kind::length, 1e-9},
    {"mi mile miles", Kind::length, 1609.344},
    {"yd yard yards", Kind::length, 0.9144},
    {"ft foot feet", Kind::length, 0.3048},
    {"in inch inches", Kind::length, 0.0254},
    {"Gt gigatonne gigatonnes", Kind::mass, 1e15},
    {"Mt megatonne megatonnes", Kind::mass, 1e12},
    {"t tonne tonnes", Kind::mass, 1e6},
    {"kg kilogram kilograms", Kind::mass, 1e3},
    {"g gram grams", Kind::mass, 1},
    {"mg milligram milligrams", Kind::mass, 1e-3},
    {"ug microgram micrograms", Kind::mass, 1e-6},
    {"ng nanogram nanograms", Kind::mass, 1e-9},
    {"pg picogram picograms", Kind::mass, 1e-12},
    {"Ton ton tons", Kind::mass, 907184.74},
    {"lb lbs pound pounds", Kind::mass, 453.59237},
    {"oz ounce ounces", Kind::mass, 28.349523125},
    {"K kelvin", Kind::temperature, 1},
    {"C celsius", Kind::temperature, 1, 273.15},
    {"F fahrenheit", Kind::temperature, 5.0 / 9, 459.67 * 5 / 9},
    {"rad radian radians", Kind::angle, 1},
    {"deg degree degrees", Kind::angle, degree},
    {"prad", Kind::angle, 1},
    {"pdeg", Kind::angle, degree},
});

constexpr std::int16_t no_measure = std::numeric_limits<std::int16_t>::min();

std::int16_t find_measure(std::string_view name) {
  static const auto by_name = [] {
    absl::flat_hash_map<std::string_view, std::int16_t, TextHash, TextEqual> index;
    for (std::size_t i = 0; i < measures.size(); ++i) {
      std::string_view names = measures[i].names;
      while (!names.empty()) {
        const std::string_view one = names.substr(0, names.find(' '));
        index.emplace(one, static_cast<std::int16_t>(i));
        names.remove_prefix(std::min(one.size() + 1, names.size()));
      }
    }
    return index;
  }();
  const auto found = by_name.find(name);
  return found == by_name.end() ? no_measure : found->second;
}

const Measure& measure_at(std::int16_t index) { return measures[static_cast<std::size_t>(index)]; }

// No number needs more characters, and calls are not made to pay for more.
constexpr std::size_t longest_number = 128;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The text as messages quote it: whole where it is short enough to be read.
std::string shown(std::string_view text) {
  constexpr std::size_t longest = 80;
  if (text.size() <= longest) return std::string(text);
  std::size_t end = longest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "...";
}

Error invalid(std::string message) { return Error{ErrorCode::invalid_value, std::move(message)}; }
Error no_number(std::string_view text) {
  return invalid(fmt::format("\"{}\" is not a number", shown(text)));
}

// A quantity as written: its number and the unit behind it, if any.
struct Written {
  double number = 0;
  std::int16_t measure = no_measure;
};

// The digits of a number: copied without their underscores, so that from_chars can read them.
class Digits {
public:
  explicit Digits(std::string_view rest) : rest_(rest) {}

  bool put(char c) {
    if (size_ == buffer_.size()) return false;
    buffer_[size_++] = c;
    return true;
  }
  // Takes a run of digits and underscores that begins with a digit. Returns how many digits.
  std::size_t take_run() {
    std::size_t count = 0;
    while (!rest_.empty() && (is_digit(rest_.front()) || (count > 0 && rest_.front() == '_'))) {
      if (rest_.front() != '_' && (++count, !put(rest_.front()))) too_long_ = true;
      rest_.remove_prefix(1);
    }
    return count;
  }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Takes an exponent, if what follows is one: "1EB" is in exabytes.
  void take_exponent() {
    if (rest_.size() < 2 || (rest_[0] != 'e' && rest_[0] != 'E')) return;
    const std::size_t sign = rest_[1] == '+' || rest_[1] == '-' ? 1 : 0;
    if (rest_.size() < 2 + sign || !is_digit(rest_[1 + sign])) return;
    const bool fits = put('e') && (rest_[1] != '-' || put('-'));
    rest_.remove_prefix(1 + sign);
    while (!rest_.empty() && is_digit(rest_.front())) {
      if (!fits || !put(rest_.front())) too_long_ = true;
      rest_.remove_prefix(1);
    }
  }

  std::string_view rest() const { return rest_; }
  bool too_long() const { return too_long_; }
  const char* begin() const { return buffer_.data(); }
  const char* end() const { return buffer_.data() + size_; }

private:
  std::string_view rest_;
  std::array<char, longest_number> buffer_;
  std::size_t size_ = 0;
  bool too_long_ = false;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

Result<Written> read(std::string_view text) {
  Digits digits(trimmed(text));
  if (digits.take('-')) {
    digits.put('-');
  } else {
    digits.take('+');
  }
  std::size_t count = digits.take_run();
  if (digits.take('.')) {
    digits.put('.');
    count += digits.take_run();
  }
  if (count == 0) return no_number(text);
  digits.take_exponent();
  if (digits.too_long()) {
    return invalid(fmt::format("\"{}\" has more than {} characters", shown(text), longest_number));
  }

  Written written;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), written.number);
  if (error == std::errc::result_out_of_range) {
    return invalid(fmt::format("\"{}\" is beyond the range of a double", shown(text)));
  }
  if (error != std::errc() || end != digits.end()) return no_number(text);

  const std::string_view name = trimmed(digits.rest());
  if (name.empty()) return written;
  if (!std::all_of(name.begin(), name.end(), is_letter)) return no_number(text);
  written.measure = find_measure(name);
  if (written.measure == no_measure) {
    return invalid(fmt::format("\"{}\" has an unknown unit \"{}\"", shown(text), shown(name)));
  }
  return written;
}

// Cut toward zero, which is never negative zero.
double cut(double number) { return std::trunc(number) + 0.0; }

double converted(double number, const Measure& from, const Measure& to) {
  // The same unit gives exactly the same number.
  if (from.factor == to.factor && from.offset == to.offset) return number;
  return (number * from.factor + from.offset - to.offset) / to.factor;
}

}  // namespace

std::optional<Unit> Unit::find(std::string_view name) {
  Unit unit;
  if (name == "float") return unit;
  if (name == "int") {
    unit.index_ = int_index;
    return unit;
  }
  unit.index_ = find_measure(name);
  return unit.index_ == no_measure ? std::nullopt : std::optional(unit);
}

std::string_view Unit::name() const {
  if (is_float()) return "float";
  if (is_int()) return "int";
  return measure_at(index_).name();
}

Result<double> quantity(std::string_view text, Unit unit) {
  const Result<Written> written = read(text);
  if (!written.ok()) return written.error();
  const auto [number, measure] = *written;
  if (measure == no_measure) return unit.is_int() ? cut(number) : number;
  if (unit.is_float() || unit.is_int()) {
    return invalid(
        fmt::format("\"{}\" has a unit, and its credit keeps plain numbers: "
                    "set stof_units on the credit",
                    shown(text)));
  }
  const Measure& from = measure_at(measure);
  const Measure& to = measure_at(unit.index_);
  if (from.kind != to.kind) {
    return invalid(fmt::format("\"{}\" cannot be converted to {}", shown(text), to.name()));
  }
  const double result = converted(number, from, to);
  if (!std::isfinite(result)) {
    return invalid(
        fmt::format("\"{}\" in {} is beyond the range of a double", shown(text), to.name()));
  }
  return result;
}

Result<double> quantity(const Value& value, Unit unit) {
  if (value.is_text()) return quantity(value.text(), unit);
  if (!std::isfinite(value.number())) return invalid("a value must be a finite number");
  return unit.is_int() ? cut(value.number()) : value.number();
}

Result<double> quantity_as_written(std::string_view text) {
  const Result<Written> written = read(text);
  if (!written.ok()) return written.error();
  return written->number;
}

Result<Millis> duration(const Value& value) {
  static const Unit millisecond = *Unit::find("ms");
  const Result<double> length = quantity(value, millisecond);
  if (!length.ok()) return length.error();
  const double whole = std::round(*length);
  if (std::fabs(whole) > static_cast<double>(time_bound_ms)) {
    return invalid(value.is_text()
                       ? fmt::format("\"{}\" is too long a duration", shown(value.text()))
                       : fmt::format("{} ms is too long a duration", value.number()));
  }
  return Millis(static_cast<std::int64_t>(whole));
}

}  // namespace limitr
