// SPDX-License-Identifier: Apache-2.0
#include "state/record.h"
#include "base/symbols.h"
#include "engines.h"
#include "fuzz.h"

// The input: one customer's record.
//
// 1. Reading ends in a customer or in a record_invalid that says why, whatever the text.
// 2. What is read is written as JSON text that reads as the same customer, and is written again to
//    the same bytes; so is a copy.
namespace limitr::fuzz {
namespace {

using state::Customer;

void read_record(std::string_view text) {
  SymbolTable& names = shared_names();
  const Result<Customer> read = state::read_customer(text, names);
  if (!read.ok()) {
    require(read.error().code == ErrorCode::record_invalid, "a record is refused as such");
    require(!read.error().message.empty(), "a refusal says why");
    require(is_utf8(read.error().to_string()), "a refusal can be shown");
    return;
  }
  require_record(*read, names);
  require_record(Customer(*read), names);
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  limitr::fuzz::read_record(limitr::fuzz::text_of(data, size));
  return 0;
}
