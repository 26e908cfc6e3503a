// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <span>
#include <string>

#include "base/symbols.h"
#include "engines.h"
#include "fuzz.h"
#include "state/record.h"

// The input: a snapshot, in any of its shapes.
//
// 1. Reading ends with records loaded, refused, or both, or in a record_invalid that says why; it
// is
//    the same for a text that comes in pieces.
// 2. Each record that is read is written as text that reads as the same customer, and is written
//    again to the same bytes; so is each remembered request.
// 3. An engine that loaded it saves what another one loads without a refusal, and each customer
//    is then the same.
namespace limitr::fuzz {
namespace {

constexpr std::string_view policy = R"(
policy:
  credits: { tok: { price: { amount: 1 } }, gold: { price: { amount: 4 } } }
  plans:
    pro:
      default: true
      entitlements:
        chat: { limit: { credit: tok, value: 10, resets: true, reset_inc: 1day } }
        org_wide: { scope: org, limit: { credit: tok, value: 10, mode: soft } }
      topups: { extra: { credit: gold, value: 5, resets: true, reset_mode: rollover } }
)";

void read_again(std::string_view customer, const state::RememberedRequest& request,
                SymbolTable& names) {
  std::string written;
  state::write_request(written, customer, request);
  std::string again;
  const state::RecordSink sink{.loaded = [](const state::Customer&) {},
                               .refused = [](const std::string&, const Error&) {},
                               .estimate = [](std::string_view, const state::EstimateStats&) {},
                               .request =
                                   [&](std::string_view id, const state::RememberedRequest& read) {
                                     state::write_request(again, id, read);
                                   }};
  const std::string text = R"({"format":1,"requests":[)" + written + "]}";
  require(state::read_snapshot(text, names, sink).ok(), "a request that is written can be read",
          written);
  require(again == written, "a request has one form", written);
}

// All that is told of a text.
template <typename Text>
std::string told_of(const Text& text) {
  SymbolTable& names = shared_names();
  std::string told;
  const auto add = [&](std::string_view id, std::string_view what) {
    told.append(id).append(": ").append(what).append("\n");
  };
  const state::RecordSink sink{
      .loaded =
          [&](const state::Customer& customer) { add("", state::to_record(customer, names)); },
      .refused = [&](const std::string& id, const Error& error) { add(id, error.to_string()); },
      .estimate = [&](std::string_view entitlement,
                      const state::EstimateStats& stats) { add(entitlement, stats.segment); },
      .request = [&](std::string_view customer,
                     const state::RememberedRequest& request) { add(customer, request.id); }};
  const Result<void> read = state::read_snapshot(text, names, sink);
  return told + (read.ok() ? "ok" : read.error().to_string());
}

void read_in_pieces(std::string_view text) {
  constexpr std::size_t longest = 7;
  std::string_view rest = text;
  const state::TextSource source = [&](std::span<char> room) -> Result<std::size_t> {
    const std::string_view piece = rest.substr(0, std::min(longest, room.size()));
    std::copy(piece.begin(), piece.end(), room.begin());
    rest.remove_prefix(piece.size());
    return piece.size();
  };
  require(told_of(source) == told_of(text), "a text reads the same in pieces", text);
}

void read_snapshot(std::string_view text) {
  SymbolTable& names = shared_names();
  const state::RecordSink sink{
      .loaded = [&](const state::Customer& customer) { require_record(customer, names); },
      .refused =
          [](const std::string&, const Error& error) {
            require(error.code == ErrorCode::record_invalid, "a record is refused as such");
            require(!error.message.empty(), "a refusal says why");
            require(is_utf8(error.to_string()), "a refusal can be shown");
          },
      .estimate = [](std::string_view, const state::EstimateStats&) {},
      .request =
          [&](std::string_view customer, const state::RememberedRequest& request) {
            read_again(customer, request, names);
          }};
  const Result<void> read = state::read_snapshot(text, names, sink);
  if (read.ok()) return;
  require(read.error().code == ErrorCode::record_invalid, "a snapshot is refused as such");
  require(!read.error().message.empty(), "a refusal says why");
}

Limitr open(const std::shared_ptr<ManualClock>& clock) {
  return Limitr::open(policy, quiet_options(clock)).value();
}

void load_snapshot(std::string_view text) {
  const auto clock = std::make_shared<ManualClock>(start_ms);
  Limitr limitr = open(clock);
  const Result<LoadReport> report = limitr.load_customers(text);
  if (!report.ok() || report->loaded == 0) return;
  require_sound(limitr);
  Limitr fresh = open(clock);
  require_restorable(limitr, fresh);
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = limitr::fuzz::text_of(data, size);
  limitr::fuzz::read_snapshot(text);
  limitr::fuzz::read_in_pieces(text);
  limitr::fuzz::load_snapshot(text);
  return 0;
}
