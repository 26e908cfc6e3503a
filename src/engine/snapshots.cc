// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <istream>
#include <iterator>
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
class Loading {
public:
  explicit Loading(engine::Engine& engine)
      : engine_(engine), policy_(engine.policy()), unmapped_(*policy_, engine.names()) {}

  template <typename Text>
  Result<LoadReport> run(const Text& text) {
    state::RecordSink sink;
    sink.loaded = [this](Customer customer) {
      if (!failed_) put(std::move(customer));
    };
    sink.expected = [this](std::size_t records) { engine_.reserve(records); };
    sink.refused = [this](std::string id, Error error) {
      report_.refused.push_back({std::move(id), std::move(error)});
    };
    sink.estimate = [this](std::string_view entitlement, const state::EstimateStats& stats) {
      if (!failed_) put_estimate(entitlement, stats);
    };
    sink.request = [this](std::string_view customer, const state::RememberedRequest& request) {
      if (!chunk_.empty()) put_chunk();
      if (failed_) return;
      auto put = engine_.change([&] { return put_request(customer, request); });
      if (put.ok()) return;
      Error error = std::move(put).error();
      error.where = fmt::format("request `{}`", request.id);
      report_.refused.push_back({std::string(customer), std::move(error)});
    };
    return end(state::read_snapshot(text, engine_.names(), sink));
  }

private:
  void put(Customer customer) {
    unmapped_.report(customer, report_);
    if (engine_.insert_plain(customer)) {
      ++report_.loaded;
      return;
    }
    if (engine_.sharing() != nullptr) {
      chunk_.push_back(std::move(customer));
      if (chunk_.size() == records_a_round) put_chunk();
      return;
    }
    std::string id = customer.id;
    const Result<std::uint64_t> put =
        engine_.change([&] { return engine::put_record(engine_, std::move(customer)); });
    if (!put.ok()) {
      report_.refused.push_back({std::move(id), put.error()});
      return;
    }
    ++report_.loaded;
    note_group(*put);
    // Not one by one, and not all at once either: what waits is in memory twice.
    if (report_.loaded % records_a_group == 0) await_groups();
  }

  // Where they are shared: a round trip for many, unless one of them is made of an ID that another
  // gives up.
  void put_chunk() {
    for (std::span<const Customer> rest = chunk_; !rest.empty() && !failed_;) put_some(rest);
    chunk_.clear();
  }

  void put_some(std::span<const Customer>& rest) {
    LoadReport part;
    std::size_t done = 0;
    Result<void> put = engine_.change([&]() -> Result<void> {
      part = {};
      for (done = 0; done < rest.size(); ++done) {
        const Customer& customer = rest[done];
        if (engine_.sharing()->has_left(customer.id)) break;
        if (auto one = engine::put_record(engine_, customer); one.ok()) {
          ++part.loaded;
        } else {
          part.refused.push_back({customer.id, std::move(one).error()});
        }
      }
      return {};
    });
    if (!put.ok()) {
      failed_ = std::move(put).error();
      return;
    }
    rest = rest.subspan(done);
    report_.loaded += part.loaded;
    kept_ = report_.loaded;
    std::move(part.refused.begin(), part.refused.end(), std::back_inserter(report_.refused));
  }

  void put_estimate(std::string_view entitlement, const state::EstimateStats& stats) {
    engine_.merge_estimate(entitlement, stats);
    if (engine_.journal() != nullptr) engine_.journal()->note_estimates();
    if (engine_.sharing() != nullptr) engine_.sharing()->note_estimates();
  }

  // A call that may be run more than once.
  Result<void> put_request(std::string_view customer, state::RememberedRequest request) {
    Locked locked(engine_);
    if (!locked.find(customer)) {
      return locked.failure() ? Result<void>(*locked.failure()) : Result<void>();
    }
    locked.before_change();
    state::CustomerRest& rest = locked.slot().customer.own_rest();
    request.number = rest.next_request();
    engine::forget_requests(locked, rest, [&](const state::RememberedRequest& known) {
      return known.id == request.id;
    });
    request.number = std::max(request.number, rest.next_request());
    rest.requests.push_back(std::move(request));
    note_group(engine_.let_go(locked, {}).group);
    return {};
  }

  Result<LoadReport> end(Result<void> read) {
    if (!chunk_.empty()) put_chunk();
    if (!read.ok()) {
      // A text that breaks off is a refusal of what would have followed, once anything was read.
      if (report_.loaded == 0 && report_.refused.empty()) return std::move(read).error();
      report_.refused.push_back({{}, std::move(read).error()});
    }
    if (!failed_) await_groups();
    if (!failed_) return std::move(report_);
    // Of what came after them, only some groups may have failed.
    failed_->message = fmt::format("{} records are certain to be loaded; load the text again: {}",
                                   kept_, failed_->message);
    return *std::move(failed_);
  }

  void note_group(std::uint64_t group) {
    if (group != 0 && (groups_.empty() || groups_.back() != group)) groups_.push_back(group);
  }

  void await_groups() {
    Journal* journal = engine_.journal();
    if (journal == nullptr || !journal->is_sync()) return;
    // The last to be waited for first: that writes the others too.
    for (; !groups_.empty(); groups_.pop_back()) {
      if (auto safe = journal->wait(groups_.back()); !safe.ok()) failed_ = std::move(safe).error();
    }
    if (!failed_) kept_ = report_.loaded;
  }

  engine::Engine& engine_;
  const engine::PolicyPointer policy_;
  Unmapped unmapped_;
  LoadReport report_;
  std::vector<Customer> chunk_;
  std::vector<std::uint64_t> groups_;  // Those that something is in that is not waited for yet.
  std::size_t kept_ = 0;         // Of those that were loaded: those that no failure takes back.
  std::optional<Error> failed_;  // Nothing that follows is loaded.
};

// What comes next in a stream; 0 at its end.
Result<std::size_t> read(std::istream& in, std::span<char> room) {
  const Error failed{.code = ErrorCode::io_failed, .message = "the stream cannot be read"};
  try {
    in.read(room.data(), static_cast<std::streamsize>(room.size()));
  } catch (...) {
    // A stream that was told to throw has set the same bits, whatever its buffer threw.
    if (in.bad()) return failed;
  }
  if (in.bad()) return failed;
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

Result<LoadReport> Limitr::load_customers(std::string_view json) {
  return Loading(*engine_).run(json);
}

Result<LoadReport> Limitr::load_customers(std::istream& json) {
  return Loading(*engine_).run(
      state::TextSource([&](std::span<char> room) { return read(json, room); }));
}

}  // namespace limitr
