// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <istream>
#include <span>

#include <fmt/format.h>

#include "engine/engine.h"
#include "state/export_text.h"
#include "state/record.h"

namespace limitr {

using engine::Journal;
using engine::Locked;
using state::Customer;

namespace {

constexpr std::size_t records_a_group = 4096;
constexpr std::size_t records_a_round = 256;

// Names the meters of a customer that no plan of today has an entitlement for: not by their name,
// and not by one that a former name passes on to, since the customer has that one too.
class Unmapped {
public:
  Unmapped(const policy::Policy& policy, const SymbolTable& names)
      : policy_(policy), names_(names) {}

  void report(const Customer& customer, LoadReport& report) {
    for (const state::Meter& meter : customer.meters) {
      if (is_named(meter.entitlement)) continue;
      const auto has_no_meter = [&](Symbol name) { return customer.meter(name) == nullptr; };
      const bool is_known =
          std::any_of(policy_.plans.begin(), policy_.plans.end(), [&](const policy::Plan& plan) {
            return plan.names_entitlement(meter.entitlement, has_no_meter);
          });
      if (is_known) continue;
      report.unmapped.push_back({customer.id, std::string(names_.text(meter.entitlement))});
    }
  }

private:
  // Whether a plan has an entitlement of that very name, whoever the customer is. Looked up once.
  bool is_named(Symbol entitlement) {
    const auto i = static_cast<std::size_t>(entitlement);
    if (i < named_.size() && named_[i]) return true;
    const bool is_there =
        std::any_of(policy_.plans.begin(), policy_.plans.end(),
                    [&](const policy::Plan& plan) { return plan.by_symbol.contains(entitlement); });
    if (!is_there) return false;
    if (named_.size() <= i) named_.resize(i + 1);
    named_[i] = true;
    return true;
  }

  const policy::Policy& policy_;
  const SymbolTable& names_;
  std::vector<bool> named_;
};

// Loads what state::read_snapshot() takes.
template <typename Text>
Result<LoadReport> load(engine::Engine& engine, const Text& text) {
  LoadReport report;
  const engine::PolicyPointer policy = engine.policy();
  Unmapped unmapped(*policy, engine.names());
  std::uint64_t group = 0;
  std::optional<Error> failed;
  // Where they are shared: a round trip for many.
  std::vector<Customer> chunk;
  const auto put_chunk = [&] {
    LoadReport part;
    Result<void> put = engine.change([&]() -> Result<void> {
      part = {};
      for (const Customer& customer : chunk) {
        if (auto one = engine::put_record(engine, customer); one.ok()) {
          ++part.loaded;
        } else {
          part.refused.push_back({customer.id, std::move(one).error()});
        }
      }
      return {};
    });
    chunk.clear();
    if (!put.ok()) failed = std::move(put).error();
    if (failed) return;
    report.loaded += part.loaded;
    for (LoadReport::Refused& refused : part.refused) report.refused.push_back(std::move(refused));
  };
  state::RecordSink sink;
  sink.loaded = [&](Customer customer) {
    unmapped.report(customer, report);
    if (engine.insert_plain(customer)) {
      ++report.loaded;
      return;
    }
    if (engine.sharing() != nullptr) {
      chunk.push_back(std::move(customer));
      if (chunk.size() == records_a_round) put_chunk();
      return;
    }
    std::string id = customer.id;
    const Result<std::uint64_t> put = engine::put_record(engine, std::move(customer));
    if (put.ok()) {
      ++report.loaded;
      group = *put;
      // Not one by one, and not all at once either: what waits is in memory twice.
      if (report.loaded % records_a_group == 0 && group != 0) {
        if (auto safe = engine.journal()->wait(group); !safe.ok()) failed = safe.error();
      }
    } else {
      report.refused.push_back({std::move(id), put.error()});
    }
  };
  sink.expected = [&](std::size_t records) { engine.reserve(records); };
  sink.refused = [&](std::string id, Error error) {
    report.refused.push_back({std::move(id), std::move(error)});
  };
  sink.estimate = [&](std::string_view entitlement, const state::EstimateStats& stats) {
    engine.merge_estimate(entitlement, stats);
    if (engine.journal() != nullptr) engine.journal()->note_estimates();
    if (engine.sharing() != nullptr) engine.sharing()->note_estimates();
  };
  const auto put_request = [&](std::string_view customer,
                               state::RememberedRequest request) -> Result<void> {
    Locked locked(engine);
    if (!locked.find(customer)) {
      return locked.failure() ? Result<void>(*locked.failure()) : Result<void>();
    }
    locked.before_change();
    state::CustomerRest& rest = locked.slot().customer.own_rest();
    std::vector<state::RememberedRequest>& known = rest.requests;
    request.number = rest.next_request();
    if (engine.journal() != nullptr) group = engine.journal()->group_of(locked.slot());
    std::erase_if(known, [&](const state::RememberedRequest& r) { return r.id == request.id; });
    known.push_back(std::move(request));
    return {};
  };
  sink.request = [&](std::string_view customer, const state::RememberedRequest& request) {
    if (!chunk.empty()) put_chunk();
    auto put = engine.change([&] { return put_request(customer, request); });
    if (!put.ok()) failed = std::move(put).error();
  };
  auto read = state::read_snapshot(text, engine.names(), sink);
  if (!chunk.empty()) put_chunk();
  if (!read.ok()) {
    // A text that breaks off is a refusal of what would have followed, once anything was read.
    if (report.loaded == 0 && report.refused.empty()) return std::move(read).error();
    report.refused.push_back({{}, std::move(read).error()});
  }
  Journal* journal = engine.journal();
  if (journal != nullptr && journal->is_sync() && group != 0 && !failed) {
    if (auto safe = journal->wait(group); !safe.ok()) failed = std::move(safe).error();
  }
  if (failed) return *failed;
  return report;
}

// What comes next in a stream; 0 at its end.
Result<std::size_t> read(std::istream& in, std::span<char> room) {
  try {
    in.read(room.data(), static_cast<std::streamsize>(room.size()));
  } catch (...) {
    // A stream that was told to throw has set the same bits, whatever its buffer threw.
  }
  if (in.bad()) {
    return Error{.code = ErrorCode::io_failed, .message = "the stream cannot be read"};
  }
  return static_cast<std::size_t>(in.gcount());
}

}  // namespace

Result<std::string> Limitr::customers() {
  engine::SnapshotText text{.records = "{"};
  if (auto taken = engine_->append_snapshot(text); !taken.ok()) return std::move(taken).error();
  text.records.push_back('}');
  return std::move(text.records);
}

Result<std::string> Limitr::export_state() {
  engine::SnapshotText text{.records = state::export_begin()};
  if (auto taken = engine_->append_snapshot(text); !taken.ok()) return std::move(taken).error();
  return fmt::format("{}{}{}{}", text.records, state::export_between(engine_->estimates_text()),
                     text.requests, state::export_end());
}

Result<LoadReport> Limitr::load_customers(std::string_view json) { return load(*engine_, json); }

Result<LoadReport> Limitr::load_customers(std::istream& json) {
  return load(*engine_, state::TextSource([&](std::span<char> room) { return read(json, room); }));
}

}  // namespace limitr
