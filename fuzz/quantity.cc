// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "base/amount.h"
#include "base/json_writer.h"
#include "base/quantity.h"
#include "fuzz.h"

// The input: the name of a unit, a line break, and a quantity; or a quantity alone.
//
// 1. What is read is a finite number, and in "int" a whole one.
// 2. A number that was read, written with the unit's name, reads as the same number.
// 3. What is read in any unit is also read as written.
// 4. A duration is within the bounds of time, and is itself again as a number.
// 5. What is refused is an invalid_value, with a message that can be shown.
namespace limitr::fuzz {
namespace {

void require_refusal(const Error& error, std::string_view text) {
  require(error.code == ErrorCode::invalid_value, "a quantity is refused as an invalid value");
  require(!error.message.empty() && error.message.size() < 400, "a refusal says why, in brief");
  if (is_utf8(text)) {
    require(is_utf8(error.message), "a refusal quotes whole characters", error.message);
  }
}

void read_quantity(std::string_view text, Unit unit) {
  const Result<double> read = quantity(text, unit);
  if (!read.ok()) return require_refusal(read.error(), text);
  require(std::isfinite(*read), "a quantity is finite");
  if (unit.is_int()) require(*read == std::trunc(*read), "what is counted in int is whole");
  require(quantity(Value(*read), unit).value() == *read, "a number is itself in its unit");

  const bool is_plain = unit.is_float() || unit.is_int();
  const std::string written = fmt::format("{}{}", *read, is_plain ? "" : unit.name());
  const Result<double> again = quantity(std::string_view(written), unit);
  require(again.ok() && *again == *read, "a quantity reads back from what it is written as",
          written);
  const Result<double> as_written = quantity_as_written(text);
  require(as_written.ok() && std::isfinite(*as_written), "what is read is also read as written");
}

void read_duration(std::string_view text) {
  const Result<Millis> read = duration(text);
  if (!read.ok()) return require_refusal(read.error(), text);
  require(std::abs(read->count()) <= time_bound_ms, "a duration is within the bounds of time");
  const Result<Millis> again = duration(Value(read->count()));
  require(again.ok() && *again == *read, "a duration is itself as a number");
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace limitr;
  const std::string_view input = fuzz::text_of(data, size);
  const std::size_t line = input.find('\n');
  const bool has_unit = line != std::string_view::npos;
  const std::string_view text = has_unit ? input.substr(line + 1) : input;
  const auto unit = has_unit ? Unit::find(input.substr(0, line)) : Unit();
  if (unit) {
    fuzz::require(Unit::find(unit->name()) == unit, "a unit is found by its name");
    fuzz::read_quantity(text, *unit);
  }
  fuzz::read_quantity(text, *Unit::find("int"));
  fuzz::read_duration(text);
  return 0;
}
