// SPDX-License-Identifier: Apache-2.0
#include "server/log.h"

#include <algorithm>
#include <memory>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/json_writer.h"

namespace limitr::server {
namespace {

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> made = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto one = std::make_shared<spdlog::logger>("limitr", std::move(sink));
    one->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "time=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v", spdlog::pattern_time_type::utc));
    one->flush_on(spdlog::level::info);
    return one;
  }();
  return *made;
}

}  // namespace

std::string log_text(std::string_view value) {
  const bool is_plain = !value.empty() && std::ranges::all_of(value, [](unsigned char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
  });
  // As JSON has it: no character gives orders to a terminal, or begins another line.
  return is_plain ? std::string(value) : to_json_text(value);
}

void log(Level level, std::string_view event, std::initializer_list<LogField> fields) {
  std::string line = "event=" + log_text(event);
  for (const LogField& field : fields) {
    line += ' ';
    line += field.name;
    line += '=';
    line += log_text(field.value);
  }
  constexpr std::array levels = {spdlog::level::info, spdlog::level::warn, spdlog::level::err};
  logger().log(levels[static_cast<std::size_t>(level)], "{}", line);
}

}  // namespace limitr::server
