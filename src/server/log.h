// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

// What a server says of itself: a line of logfmt on standard error for each thing that happened. No
// token or ticket is ever given to it.
namespace limitr::server {

enum class Level : std::uint8_t { info, warning, error };

struct LogField {
  std::string_view name;
  std::string value;
};

/// `event` in a few words without quotes. Threads: any.
void log(Level level, std::string_view event, std::initializer_list<LogField> fields = {});

/// The value as logfmt has it: in quotes where it needs them, and on one line.
std::string log_text(std::string_view value);

}  // namespace limitr::server
