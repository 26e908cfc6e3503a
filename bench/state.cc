// SPDX-License-Identifier: Apache-2.0
// Question: how long does all state take to come in and to go out, next to merely reading its
// numbers?

#include <malloc.h>

#include <atomic>
#include <thread>

#include "benches.h"
#include "data_set.h"
#include "json_numbers.h"

namespace limitr::bench {

namespace {

constexpr double limit = 1e12;
constexpr std::string_view ours = "customer-";  // what the data set's IDs begin with
constexpr std::size_t busy_customers = 100;

// All numbers of the data set's records, whatever order the records stand in.
struct Numbers {
  std::uint64_t records = 0;
  std::uint64_t count = 0;
  std::uint64_t sum_of_hashes = 0;

  bool operator==(const Numbers&) const = default;
};

std::uint64_t hash_of(double number) {
  std::uint64_t x = std::bit_cast<std::uint64_t>(number);
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

Numbers numbers_in(JsonNumbers& json, std::string& text, Checks& checks) {
  Numbers numbers;
  std::size_t records = 0;
  const bool read = json.read_fields(text, ours, records, [&](double number) {
    ++numbers.count;
    numbers.sum_of_hashes += hash_of(number);
  });
  checks.is_true("customers() gives JSON", read);
  numbers.records = records;
  return numbers;
}

std::string data_set_text(std::size_t count) {
  Limitr limitr = engine_with_customers(count, limit);
  return required(limitr.customers());
}

// Calls for customers that the data set does not have, from another thread, until it goes.
class BusyCalls {
public:
  explicit BusyCalls(Limitr& limitr) : limitr_(limitr) {
    for (std::size_t i = 0; i < busy_customers; ++i) {
      ids_.push_back(fmt::format("busy-{:03}", i));
      required(limitr_.create_customer(ids_.back()));
    }
    thread_ = std::thread([this] { run(); });
    // Not before the calls have begun is there something to disturb.
    while (allowed_ == 0) std::this_thread::yield();
  }
  BusyCalls(const BusyCalls&) = delete;
  BusyCalls& operator=(const BusyCalls&) = delete;
  ~BusyCalls() { stop(); }

  /// Stops; every call that was allowed is then on a meter, none was lost to the snapshot.
  void finish(Checks& checks) {
    stop();
    double metered = 0;
    for (const std::string& id : ids_) metered += required(limitr_.value(id, called)).value_or(0);
    checks.is_true("calls made meanwhile are metered", metered == static_cast<double>(allowed_));
  }

private:
  void run() {
    for (std::size_t i = 0; !stopping_; i = (i + 1) % busy_customers) {
      const Result<Decision> decision = limitr_.allow(ids_[i], called, 1);
      if (decision.ok() && decision->allowed) ++allowed_;
    }
  }
  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }

  Limitr& limitr_;
  std::vector<std::string> ids_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> allowed_ = 0;
  std::thread thread_;
};

class StateBench {
public:
  StateBench(std::size_t count, Checks& checks)
      : count_(count), checks_(checks), text_(data_set_text(count)) {
    malloc_trim(0);
    expected_ = numbers_in(json_, text_, checks_);
    checks_.same<std::uint64_t>("records in the text", expected_.records, count_);
    checks_.same<std::uint64_t>("meters' numbers in the text", expected_.count >= 24 * count_, 1);
  }

  // One load, one reading by simdjson, one snapshot. Seconds of the whole.
  double run() {
    const Stopwatch watch;
    Limitr limitr = engine_with_customers(0, limit);
    load(limitr);
    read_numbers();
    take_snapshot(limitr);
    return watch.seconds();
  }

  std::vector<Row> rows() const {
    const Figures load = figures_of_pairs(loads_, readings_);
    const Figures snapshot = figures_of_pairs(snapshots_, loads_);
    return {row("load_1m", load, "simdjson", 5), row("snapshot_1m", snapshot, "load_1m", 2)};
  }

private:
  void load(Limitr& limitr) {
    const Stopwatch watch;
    const LoadReport report = required(limitr.load_customers(text_));
    loads_.push_back(watch.seconds());
    checks_.same<std::uint64_t>("customers loaded", report.loaded, count_);
    checks_.same<std::uint64_t>("records refused", report.refused.size(), 0);
    checks_.same<std::uint64_t>("meters without an entitlement", report.unmapped.size(), 0);
  }

  void read_numbers() {
    double sum = 0;
    std::uint64_t count = 0;
    const Stopwatch watch;
    const bool read = json_.read(text_, [&](double number) {
      sum += number;
      ++count;
    });
    readings_.push_back(watch.seconds());
    checks_.is_true("simdjson reads the text", read && sum > 0);
    checks_.same<std::uint64_t>("numbers that simdjson read", count, expected_.count);
  }

  // What comes out after the load is what went in: that answers for both rows.
  void take_snapshot(Limitr& limitr) {
    BusyCalls calls(limitr);
    const Stopwatch watch;
    std::string snapshot = required(limitr.customers());
    snapshots_.push_back(watch.seconds());
    calls.finish(checks_);
    checks_.is_true("loaded and given out again, every number is the same",
                    numbers_in(json_, snapshot, checks_) == expected_);
  }

  static Row row(std::string_view name, const Figures& figures, std::string_view comparator,
                 double ratio_max) {
    return {.name = name,
            .value = figures.ours,
            .unit = "s",
            .lower_is_better = true,
            .comparator = Comparator{comparator, *figures.comparator},
            .ratio = figures.ratio,
            .goal = {Goal::Of::ratio, Goal::Op::at_most, ratio_max},
            .runs = figures.runs};
  }

  std::size_t count_;
  Checks& checks_;
  std::string text_;
  JsonNumbers json_;
  Numbers expected_;
  std::vector<double> loads_;
  std::vector<double> readings_;
  std::vector<double> snapshots_;
};

}  // namespace

std::vector<Row> load_and_snapshot(const Size& size, Checks& checks) {
  // Nine runs, unless each takes so long that the machine's mood averages out within it.
  constexpr double long_run_seconds = 5;
  StateBench bench(size.of(1'000'000, 10'000), checks);
  const double first = bench.run();
  const std::size_t runs = size.runs(first > long_run_seconds ? 3 : 9);
  for (std::size_t i = 1; i < runs; ++i) {
    malloc_trim(0);  // What the run before has freed goes back, so that each starts alike.
    bench.run();
  }
  return bench.rows();
}

}  // namespace limitr::bench
