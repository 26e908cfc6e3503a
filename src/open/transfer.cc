// SPDX-License-Identifier: Apache-2.0
#include "open/transfer.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/symbols.h"
#include "open/stored_types.h"
#include "state/export_text.h"
#include "state/record.h"

namespace limitr {
namespace {

using state::RememberedRequest;
using store::StoredCustomer;
using store::StoredRequest;

// Written in one go: what is smaller costs more in calls than in bytes.
constexpr std::size_t piece_bytes = std::size_t{64} << 10U;

// Loaded at once.
constexpr std::size_t batch_records = 1024;

// A text that is gone when it is closed, or when the process dies.
class Spool {
public:
  Spool() : file_(std::tmpfile()) {}
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  ~Spool() {
    if (file_ != nullptr) std::fclose(file_);
  }

  bool add(std::string_view text) {
    return file_ != nullptr && std::fwrite(text.data(), 1, text.size(), file_) == text.size();
  }
  Result<void> give(const std::function<Result<void>(std::string_view)>& take) {
    if (file_ == nullptr || std::fseek(file_, 0, SEEK_SET) != 0) return failed();
    std::string piece(piece_bytes, '\0');
    while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), file_)) {
      if (auto taken = take(std::string_view(piece).substr(0, count)); !taken.ok()) return taken;
    }
    return std::ferror(file_) == 0 ? Result<void>() : failed();
  }
  static Error failed() {
    return {.code = ErrorCode::io_failed,
            .message = "the requests that are remembered cannot be kept in a temporary file"};
  }

private:
  std::FILE* file_;
};

// Gathers what is written into pieces of a good size.
class Pieces {
public:
  explicit Pieces(const std::function<Result<void>(std::string_view)>& write) : write_(write) {}

  Result<void> add(std::string_view text) {
    piece_ += text;
    return piece_.size() < piece_bytes ? Result<void>() : flush();
  }
  Result<void> flush() {
    Result<void> written = write_(piece_);
    piece_.clear();
    return written;
  }

private:
  const std::function<Result<void>(std::string_view)>& write_;
  std::string piece_;
};

// One import: gathers records and requests, and loads them batch by batch.
class Import {
public:
  Import(Limitr& limitr, const ImportOptions& options) : limitr_(limitr), options_(options) {}

  Result<LoadReport> run(const state::TextSource& source) {
    state::RecordSink sink;
    sink.loaded = [this](const state::Customer& customer) { add(customer); };
    sink.refused = [this](std::string id, Error error) { refuse(std::move(id), std::move(error)); };
    sink.estimate = [this](std::string_view entitlement, const state::EstimateStats& stats) {
      add_estimate(entitlement, stats);
    };
    sink.request = [this](std::string_view customer, const RememberedRequest& request) {
      add_request(customer, request);
    };
    const state::TextSource until_failure = [&](std::span<char> room) -> Result<std::size_t> {
      if (failed_) return *failed_;
      return source(room);
    };
    Result<void> read = state::read_snapshot(until_failure, names_, sink);
    load();
    load_estimates();
    if (failed_) return *std::move(failed_);
    if (!read.ok()) {
      // A text that breaks off is a refusal of what would have followed, once anything was read.
      if (report_.loaded == 0 && report_.refused.empty()) return std::move(read).error();
      report_.refused.push_back({{}, std::move(read).error()});
    }
    return std::move(report_);
  }

private:
  void add(const state::Customer& customer) {
    if (failed_) return;
    const auto known = limitr_.customer_refs(customer.id);
    if (!known.ok()) {
      failed_ = known.error();
      return;
    }
    if (known->has_value() && !options_.replace) {
      return refuse(customer.id,
                    {.code = ErrorCode::invalid_argument,
                     .message = "a customer of this ID is there already, and stays as it is"});
    }
    const std::string record = state::to_record(customer, names_);
    if (!records_.empty()) records_ += ',';
    records_ += record;
    if (++waiting_ >= batch_records) load();
  }

  void add_request(std::string_view customer, const RememberedRequest& request) {
    if (failed_ || kept_out_.contains(std::string(customer))) return;
    if (!requests_.empty()) requests_ += ',';
    state::write_request(requests_, customer, request);
    if (++waiting_ >= batch_records) load();
  }

  void add_estimate(std::string_view entitlement, const state::EstimateStats& stats) {
    std::string text;
    JsonWriter json(text);
    state::write_estimate(json, stats);
    std::string& segments = estimates_[std::string(entitlement)];
    if (!segments.empty()) segments += ',';
    segments += fmt::format("{}:{}", to_json_text(stats.segment), text);
  }

  void refuse(std::string id, Error error) {
    kept_out_.insert(id);
    report_.refused.push_back({std::move(id), std::move(error)});
  }

  void load() {
    if (waiting_ == 0 || failed_) return;
    waiting_ = 0;
    take(fmt::format(R"({{"format":{},"customers":[{}],"requests":[{}]}})", state::record_format,
                     std::exchange(records_, {}), std::exchange(requests_, {})));
  }

  void load_estimates() {
    if (estimates_.empty() || failed_) return;
    std::string all;
    for (const auto& [entitlement, segments] : estimates_) {
      if (!all.empty()) all += ',';
      all += fmt::format("{}:{{{}}}", to_json_text(entitlement), segments);
    }
    take(fmt::format(R"({{"format":{},"customers":[],"estimates":{{{}}}}})", state::record_format,
                     all));
  }

  void take(const std::string& text) {
    Result<LoadReport> loaded = limitr_.load_customers(text);
    if (!loaded.ok()) {
      failed_ = std::move(loaded).error();
      return;
    }
    report_.loaded += loaded->loaded;
    for (LoadReport::Refused& refused : loaded->refused) {
      refuse(std::move(refused.id), std::move(refused.error));
    }
    std::move(loaded->unmapped.begin(), loaded->unmapped.end(),
              std::back_inserter(report_.unmapped));
  }

  Limitr& limitr_;
  const ImportOptions& options_;
  SymbolTable names_;
  LoadReport report_;
  std::string records_;                           // what waits to be loaded, joined by commas
  std::string requests_;                          // likewise
  std::size_t waiting_ = 0;                       // how many of both
  std::map<std::string, std::string> estimates_;  // entitlement -> its segments, joined
  std::set<std::string> kept_out_;  // IDs of what was refused: their requests are, too
  std::optional<Error> failed_;
};

}  // namespace

Result<Exported> export_store(StoredState& stored,
                              const std::function<Result<void>(std::string_view)>& write,
                              const std::function<Result<void>(std::uint64_t)>& progress) {
  Exported exported{.damage = stored.opened().damage};
  Pieces out(write);
  Spool requests;
  Result<void> going = out.add(state::export_begin());
  const auto add_requests = [&](const StoredCustomer& customer) -> Result<void> {
    std::string text;
    for (const StoredRequest& request : customer.requests) {
      if (exported.requests++ != 0) text += ',';
      state::write_request(text, customer.id, request_of(request));
    }
    return requests.add(text) ? Result<void>() : Spool::failed();
  };
  const auto add = [&](const StoredCustomer& customer) -> Result<void> {
    if (customer.damage) exported.damage.push_back(damage_of(customer));
    if (customer.record.empty()) return {};
    std::string text(exported.customers++ == 0 ? "" : ",");
    text += state::export_customer(customer.id, customer.record);
    if (auto added = out.add(text); !added.ok()) return added;
    if (auto kept = add_requests(customer); !kept.ok()) return kept;
    return progress(exported.customers);
  };
  if (!going.ok()) return std::move(going).error();
  const Result<void> scanned = stored.scan([&](const StoredCustomer& customer) {
    going = add(customer);
    return going.ok();
  });
  if (!going.ok()) return std::move(going).error();
  // What is missing is named, and what is there still comes out.
  if (!scanned.ok()) {
    if (scanned.error().code != ErrorCode::data_corrupt) return scanned.error();
    exported.damage.push_back(scanned.error());
  }
  const std::string estimates = stored.opened().estimates.value_or("{}");
  if (auto added = out.add(state::export_between(estimates)); !added.ok()) return added.error();
  const auto pass_on = [&](std::string_view piece) { return out.add(piece); };
  if (auto given = requests.give(pass_on); !given.ok()) return given.error();
  if (auto ended = out.add(state::export_end()); !ended.ok()) return ended.error();
  if (auto flushed = out.flush(); !flushed.ok()) return flushed.error();
  return exported;
}

Result<LoadReport> import_records(Limitr& limitr, const state::TextSource& source,
                                  const ImportOptions& options) {
  return Import(limitr, options).run(source);
}

}  // namespace limitr
