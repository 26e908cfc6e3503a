// SPDX-License-Identifier: Apache-2.0
#include "call/time_text.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>

#include <fmt/format.h>

#include "base/amount.h"

namespace limitr::call {
namespace {

using std::chrono::sys_days;
using std::chrono::year_month_day;

struct UnitOfTime {
  std::string_view name;
  std::int64_t length_ms;
};

constexpr std::int64_t second_ms = 1000;
constexpr std::int64_t minute_ms = 60 * second_ms;
constexpr std::int64_t hour_ms = 60 * minute_ms;
constexpr std::int64_t day_ms = 24 * hour_ms;

// The policy's own names and the short ones that people write in tests.
constexpr std::array units = {
    UnitOfTime{"ms", 1},         UnitOfTime{"s", second_ms},     UnitOfTime{"sec", second_ms},
    UnitOfTime{"m", minute_ms},  UnitOfTime{"min", minute_ms},   UnitOfTime{"h", hour_ms},
    UnitOfTime{"hr", hour_ms},   UnitOfTime{"hour", hour_ms},    UnitOfTime{"hours", hour_ms},
    UnitOfTime{"d", day_ms},     UnitOfTime{"day", day_ms},      UnitOfTime{"days", day_ms},
    UnitOfTime{"w", 7 * day_ms}, UnitOfTime{"week", 7 * day_ms}, UnitOfTime{"weeks", 7 * day_ms},
};

/// Reads a text from its front.
class Cursor {
public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  /// Exactly that many digits.
  std::optional<int> digits(std::size_t count) {
    if (rest_.size() < count) return std::nullopt;
    int number = 0;
    for (const char c : rest_.substr(0, count)) {
      if (c < '0' || c > '9') return std::nullopt;
      number = number * 10 + (c - '0');
    }
    rest_.remove_prefix(count);
    return number;
  }
  /// A number without a sign or an exponent.
  std::optional<double> number() {
    const std::string_view text = rest_.substr(0, rest_.find_first_not_of("0123456789."));
    double number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
    rest_.remove_prefix(text.size());
    return number;
  }
  std::string_view letters() {
    const std::string_view text =
        rest_.substr(0, rest_.find_first_not_of("abcdefghijklmnopqrstuvwxyz"));
    rest_.remove_prefix(text.size());
    return text;
  }

private:
  std::string_view rest_;
};

std::optional<sys_days> date(Cursor& text) {
  const auto year = text.digits(4);
  if (!year || !text.take('-')) return std::nullopt;
  const auto month = text.digits(2);
  if (!month || !text.take('-')) return std::nullopt;
  const auto day = text.digits(2);
  if (!day) return std::nullopt;
  const year_month_day date(std::chrono::year(*year),
                            std::chrono::month(static_cast<unsigned>(*month)),
                            std::chrono::day(static_cast<unsigned>(*day)));
  return date.ok() ? std::optional(sys_days(date)) : std::nullopt;
}

std::optional<Millis> fraction(Cursor& text) {
  int ms = 0;
  int places = 0;
  while (const auto digit = text.digits(1)) {
    if (++places > 3) return std::nullopt;
    ms = ms * 10 + *digit;
  }
  if (places == 0) return std::nullopt;
  for (; places < 3; ++places) ms *= 10;
  return Millis(ms);
}

std::optional<Millis> time_of_day(Cursor& text) {
  const auto hours = text.digits(2);
  if (!hours || *hours > 23 || !text.take(':')) return std::nullopt;
  const auto minutes = text.digits(2);
  if (!minutes || *minutes > 59) return std::nullopt;
  Millis time = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  if (!text.take(':')) return time;
  const auto seconds = text.digits(2);
  if (!seconds || *seconds > 59) return std::nullopt;
  time += std::chrono::seconds(*seconds);
  if (!text.take('.')) return time;
  const auto ms = fraction(text);
  return ms ? std::optional(time + *ms) : std::nullopt;
}

std::optional<Timestamp> iso_moment(std::string_view written) {
  Cursor text(written);
  const auto day = date(text);
  if (!day) return std::nullopt;
  if (text.done()) return Timestamp(*day);
  if (!text.take('T') && !text.take(' ')) return std::nullopt;
  const auto time = time_of_day(text);
  if (!time) return std::nullopt;
  text.take('Z');
  return text.done() ? std::optional(Timestamp(*day) + *time) : std::nullopt;
}

std::optional<Millis> span_of_time(std::string_view written) {
  Cursor text(written);
  double total_ms = 0;
  do {
    const auto number = text.number();
    const std::string_view name = text.letters();
    const UnitOfTime* unit = nullptr;
    for (const UnitOfTime& candidate : units)
      if (candidate.name == name) unit = &candidate;
    if (!number || !unit) return std::nullopt;
    total_ms += *number * static_cast<double>(unit->length_ms);
  } while (!text.done());
  if (!(total_ms <= static_cast<double>(time_bound_ms))) return std::nullopt;
  return Millis(std::llround(total_ms));
}

Error no_moment(std::string_view text) {
  return {.code = ErrorCode::invalid_argument,
          .message = fmt::format("`{}` is no time: write milliseconds, 2026-03-01T12:00:00Z, "
                                 "2026-03-01, or +1h counted from the step before",
                                 text)};
}

}  // namespace

Timestamp first_moment() { return sys_days(std::chrono::year(2026) / std::chrono::January / 1); }

Result<Timestamp> moment(std::string_view text, Timestamp before) {
  if (text.empty()) return no_moment(text);
  if (text.front() != '+' && text.front() != '-') {
    const auto found = iso_moment(text);
    if (!found) return no_moment(text);
    return *found;
  }
  const auto length = span_of_time(text.substr(1));
  if (!length) return no_moment(text);
  return text.front() == '+' ? before + *length : before - *length;
}

Result<Timestamp> moment(const policy::Node& node, Timestamp before) {
  if (const std::string* text = node.as_text()) return moment(*text, before);
  const double* number = node.as_number();
  if (!number) return no_moment(node.kind_name());
  if (std::trunc(*number) != *number || std::fabs(*number) > static_cast<double>(time_bound_ms))
    return no_moment(fmt::format("{}", *number));
  return timestamp_from_ms(static_cast<std::int64_t>(*number));
}

std::string iso_text(Timestamp moment) {
  const auto day = std::chrono::floor<std::chrono::days>(moment);
  const year_month_day date(day);
  const std::int64_t ms = (moment - day).count();
  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  ms / hour_ms, ms / minute_ms % 60, ms / second_ms % 60);
  if (ms % second_ms != 0) text += fmt::format(".{:03}", ms % second_ms);
  return text + "Z";
}

}  // namespace limitr::call
