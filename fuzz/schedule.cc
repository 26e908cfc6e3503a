// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <string>

#include "base/amount.h"
#include "base/schedule.h"
#include "fuzz.h"

// The input: a schedule, and on the lines after it moments in milliseconds to ask it about.
//
// 1. A schedule that is read is written as text that reads as the same schedule.
// 2. The period of a moment contains it, begins and ends at midnight, and is at most 13 months
//    long.
// 3. Each moment of a period has that period; its end begins the next one.
namespace limitr::fuzz {
namespace {

void ask(const Schedule& schedule, Timestamp moment) {
  const std::string at = std::to_string(to_ms(moment));
  const auto [start, next] = schedule.period_at(moment);
  require(start <= moment && moment < next, "a period contains its moment", at);
  require(next - start <= std::chrono::days(400), "a period is no longer than a year", at);
  for (const Timestamp edge : {start, next}) {
    require(edge == std::chrono::floor<std::chrono::days>(edge), "periods begin at midnight", at);
  }
  for (const Timestamp same : {start, next - Millis(1)}) {
    const auto period = schedule.period_at(same);
    require(period.start == start && period.next == next, "a period has one start and one end", at);
  }
  require(schedule.period_at(next).start == next, "the end of a period begins the next", at);
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace limitr;
  std::string_view rest = fuzz::text_of(data, size);
  const auto next_line = [&] {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    return line;
  };
  const auto schedule = Schedule::parse(next_line());
  if (!schedule) return 0;
  const std::string text = schedule->text();
  const auto again = Schedule::parse(text);
  fuzz::require(again == schedule && again->text() == text, "a schedule reads back from its text",
                text);
  fuzz::ask(*schedule, Timestamp());
  while (!rest.empty()) {
    const std::string_view line = next_line();
    std::int64_t ms = 0;
    const auto read = std::from_chars(line.data(), line.data() + line.size(), ms);
    if (read.ec != std::errc() || ms < -time_bound_ms || ms > time_bound_ms) continue;
    fuzz::ask(*schedule, timestamp_from_ms(ms));
  }
  return 0;
}
