// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <limitr/json.h>
#include "base/json_writer.h"
#include "fuzz.h"
#include "wire/messages.h"

namespace limitr::fuzz {

/// What must hold of any text that comes over a connection, from either side:
///
/// 1. Reading ends in a message or in an invalid_argument that says why, whatever the text.
/// 2. What is read is JSON as a whole, whatever of it counts.
/// 3. What is read is written as text that reads as a message which is written to the same bytes.
/// 4. number_of() gives the number of every message that can be read.
template <typename Message>
void require_message(std::string_view text, Result<Message> (*decode)(std::string_view)) {
  const std::optional<std::uint64_t> number = wire::number_of(text);
  const Result<Message> read = decode(text);
  if (!read.ok()) {
    require(read.error().code == ErrorCode::invalid_argument, "a message is refused as such");
    require(!read.error().message.empty(), "a refusal says why");
    require(is_utf8(read.error().to_string()), "a refusal can be shown");
    return;
  }
  require(Json::accept(text), "what is read is JSON", text);
  require(number == std::optional<std::uint64_t>(read->n), "its number is found", text);
  const std::string written = wire::encode(*read);
  const Result<Message> again = decode(written);
  require(again.ok(), "what is written is read", written);
  require(wire::encode(*again) == written, "a message survives", written);
}

}  // namespace limitr::fuzz
