// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <limitr/time.h>

namespace limitr {

/// A calendar schedule, all UTC: gives the periods that begin at midnight of certain days.
/// spec: policy.md, Calendar schedules
class Schedule {
public:
  struct Period {
    Timestamp start;  ///< Of the period that contains the moment asked for.
    Timestamp next;   ///< The first period start later than that moment.
  };

  /// `monthly:N`, `monthly:last`, `weekly:DAY`, `nth_weekday:N:DAY`, `yearly:M-D`, `quarterly:D`.
  /// None where any part of the text does not belong.
  static std::optional<Schedule> parse(std::string_view text);

  /// The period that contains `moment`.
  Period period_at(Timestamp moment) const;
  /// As it was written.
  std::string text() const;

  friend bool operator==(const Schedule&, const Schedule&) = default;

private:
  enum class Kind : std::uint8_t { monthly, weekly, nth_weekday, yearly, quarterly };

  std::optional<std::chrono::sys_days> start_in(std::chrono::year_month month) const;

  Kind kind_ = Kind::monthly;
  std::uint8_t month_ = 1;    // yearly
  std::uint8_t weekday_ = 0;  // weekly, nth_weekday: 0 is Sunday
  bool long_name_ = false;    // the weekday was written in full
  std::uint32_t number_ = 1;  // the day, or which weekday; 0 is `last`
};

}  // namespace limitr
