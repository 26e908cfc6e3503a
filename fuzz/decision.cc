// SPDX-License-Identifier: Apache-2.0
#include <limitr/decision.h>

#include <string>

#include <limitr/json.h>
#include "fuzz.h"

// The input: a decision as JSON text.
//
// 1. Reading ends in a decision or in an invalid_argument, whatever the text.
// 2. A decision that is read is written as JSON text that reads as the same decision.
namespace limitr::fuzz {
namespace {

void read_decision(std::string_view text) {
  const Result<Decision> read = decision_from_json(text);
  if (!read.ok()) {
    require(read.error().code == ErrorCode::invalid_argument, "a text that is no decision");
    return;
  }
  const std::string written = to_json(*read);
  require(Json::accept(written), "a decision is written as JSON", written);
  const Result<Decision> again = decision_from_json(written);
  require(again.ok(), "a decision that is written can be read", written);
  require(to_json(*again) == written, "a decision reads back as it was written", written);
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  limitr::fuzz::read_decision(limitr::fuzz::text_of(data, size));
  return 0;
}
