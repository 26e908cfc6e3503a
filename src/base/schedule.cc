// SPDX-License-Identifier: Apache-2.0
#include "base/schedule.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace limitr {
namespace {

using std::chrono::days;
using std::chrono::months;
using std::chrono::sys_days;
using std::chrono::year_month;
using std::chrono::year_month_day;
using std::chrono::year_month_day_last;

constexpr std::array<std::string_view, 7> weekday_names = {
    "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};

std::optional<std::uint32_t> number_in(std::string_view text, std::uint32_t low,
                                       std::uint32_t high) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (number < low || number > high) return std::nullopt;
  return number;
}

struct Weekday {
  std::uint8_t index;
  bool long_name;
};

// The text's parts between the separators.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<Weekday> weekday_in(std::string_view text) {
  std::string name(text);
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (std::uint8_t i = 0; i < weekday_names.size(); ++i) {
    if (name == weekday_names[i]) return Weekday{i, true};
    if (name == weekday_names[i].substr(0, 3)) return Weekday{i, false};
  }
  return std::nullopt;
}

sys_days day_of(year_month month, std::uint32_t day) {
  const auto last = year_month_day_last(month.year(), std::chrono::month_day_last(month.month()));
  return sys_days(month / std::min(std::chrono::day(day), last.day()));
}

}  // namespace

std::optional<Schedule> Schedule::parse(std::string_view text) {
  const std::vector<std::string_view> parts = split(text, ':');
  Schedule schedule;
  if (parts[0] == "monthly" && parts.size() == 2) {
    schedule.kind_ = Kind::monthly;
    const auto day = parts[1] == "last" ? 0 : number_in(parts[1], 1, 31);
    if (!day) return std::nullopt;
    schedule.number_ = *day;
    return schedule;
  }
  if (parts[0] == "quarterly" && parts.size() == 2) {
    schedule.kind_ = Kind::quarterly;
    const auto day = number_in(parts[1], 1, 31);
    if (!day) return std::nullopt;
    schedule.number_ = *day;
    return schedule;
  }
  if (parts[0] == "weekly" && parts.size() == 2) {
    schedule.kind_ = Kind::weekly;
    const auto weekday = weekday_in(parts[1]);
    if (!weekday) return std::nullopt;
    schedule.weekday_ = weekday->index;
    schedule.long_name_ = weekday->long_name;
    return schedule;
  }
  if (parts[0] == "nth_weekday" && parts.size() == 3) {
    schedule.kind_ = Kind::nth_weekday;
    const auto which = number_in(parts[1], 1, 1'000'000);
    const auto weekday = weekday_in(parts[2]);
    if (!which || !weekday) return std::nullopt;
    schedule.number_ = *which;
    schedule.weekday_ = weekday->index;
    schedule.long_name_ = weekday->long_name;
    return schedule;
  }
  if (parts[0] == "yearly" && parts.size() == 2) {
    schedule.kind_ = Kind::yearly;
    const std::vector<std::string_view> date = split(parts[1], '-');
    if (date.size() != 2) return std::nullopt;
    const auto month = number_in(date[0], 1, 12);
    const auto day = number_in(date[1], 1, 31);
    if (!month || !day) return std::nullopt;
    const auto longest = std::chrono::year(2000) / std::chrono::month(*month) / std::chrono::last;
    if (std::chrono::day(*day) > longest.day()) return std::nullopt;
    schedule.month_ = static_cast<std::uint8_t>(*month);
    schedule.number_ = *day;
    return schedule;
  }
  return std::nullopt;
}

std::string Schedule::text() const {
  const std::string_view name = weekday_names[weekday_];
  const std::string_view weekday = long_name_ ? name : name.substr(0, 3);
  switch (kind_) {
    case Kind::monthly: return number_ == 0 ? "monthly:last" : fmt::format("monthly:{}", number_);
    case Kind::quarterly: return fmt::format("quarterly:{}", number_);
    case Kind::weekly: return fmt::format("weekly:{}", weekday);
    case Kind::nth_weekday: return fmt::format("nth_weekday:{}:{}", number_, weekday);
    case Kind::yearly: return fmt::format("yearly:{}-{}", month_, number_);
  }
  return {};
}

// When a period starts in `month`, each month computed on its own. Not for weekly.
std::optional<sys_days> Schedule::start_in(year_month month) const {
  const auto number_of_month = static_cast<unsigned>(month.month());
  switch (kind_) {
    case Kind::monthly: return day_of(month, number_ == 0 ? 31 : number_);
    case Kind::quarterly:
      if (number_of_month % 3 != 1) return std::nullopt;
      return day_of(month, number_);
    case Kind::yearly:
      if (number_of_month != month_) return std::nullopt;
      return day_of(month, number_);
    case Kind::nth_weekday:
      return sys_days(month / std::chrono::weekday(weekday_)[std::min(number_, 4U)]);
    case Kind::weekly: break;
  }
  return std::nullopt;
}

Schedule::Period Schedule::period_at(Timestamp moment) const {
  const sys_days that_day = std::chrono::floor<days>(moment);
  if (kind_ == Kind::weekly) {
    const days since = std::chrono::weekday(that_day) - std::chrono::weekday(weekday_);
    return {.start = that_day - since, .next = that_day - since + days(7)};
  }
  // A calendar year holds fewer years than a moment does; every 400 years the calendar begins anew.
  constexpr days cycle(146'097);
  const days shift = cycle * (that_day.time_since_epoch() / cycle);
  const sys_days today = that_day - shift;
  const year_month_day date(today);
  const year_month month = date.year() / date.month();
  // The start is this month's or an earlier one's, the next boundary this month's or a later one's.
  std::optional<sys_days> start = start_in(month);
  std::optional<sys_days> next;
  if (start && *start > today) next = std::exchange(start, std::nullopt);
  for (months back{1}; !start; ++back) start = start_in(month - back);
  for (months ahead{1}; !next; ++ahead) next = start_in(month + ahead);
  return {.start = *start + shift, .next = *next + shift};
}

}  // namespace limitr
