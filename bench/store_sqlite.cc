// SPDX-License-Identifier: Apache-2.0
// Question: what does a call cost that is safe in a SQLite file, next to the least that SQLite can
// do: the same bytes under the same key?

#include <memory>

#include <sqlite3.h>

#include "benches.h"
#include "data_set.h"
#include "folder.h"
#include "store_calls.h"

namespace limitr::bench {

namespace {

constexpr std::size_t customers = 1000;

// The comparator: SQLite as whoever only stores records by ID would use it, as safe as ours.
class SqlitePeer {
public:
  SqlitePeer(const std::string& path, const std::vector<std::string>& ids) : records_(ids) {
    sqlite3* opened = nullptr;
    const int code = sqlite3_open(path.c_str(), &opened);
    database_.reset(opened);
    check(code);
    run("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE customers (id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL)");
    sqlite3_stmt* prepared = nullptr;
    check(sqlite3_prepare_v2(database_.get(),
                             "INSERT INTO customers VALUES (?1, ?2)"
                             " ON CONFLICT (id) DO UPDATE SET record = excluded.record",
                             -1, &prepared, nullptr));
    upsert_.reset(prepared);
    run("BEGIN");
    for (const std::string& id : ids) upsert(id);
    run("COMMIT");
  }

  /// The rows that all keys have written, `batch` of them a transaction.
  std::uint64_t write(const std::vector<std::string>& keys, std::size_t batch) {
    std::uint64_t written = 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (batch > 1 && i % batch == 0) run("BEGIN");
      written += upsert(keys[i]);
      if (batch > 1 && ((i + 1) % batch == 0 || i + 1 == keys.size())) run("COMMIT");
    }
    return written;
  }

private:
  struct Close {
    void operator()(sqlite3* database) const noexcept { sqlite3_close(database); }
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };

  void check(int code) const {
    if (code == SQLITE_OK || code == SQLITE_DONE) return;
    stop({.code = ErrorCode::io_failed,
          .message = fmt::format("the comparator: {}", sqlite3_errmsg(database_.get()))});
  }
  void run(const char* sql) const {
    check(sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr));
  }
  std::uint64_t upsert(const std::string& id) {
    const std::string& record = records_.next(id);
    sqlite3_stmt* statement = upsert_.get();
    const auto bind = [&](int place, const std::string& text) {
      check(sqlite3_bind_text(statement, place, text.data(), static_cast<int>(text.size()),
                              SQLITE_STATIC));
    };
    bind(1, id);
    bind(2, record);
    check(sqlite3_step(statement));
    check(sqlite3_reset(statement));
    return static_cast<std::uint64_t>(sqlite3_changes(database_.get()));
  }

  Records records_;
  std::unique_ptr<sqlite3, Close> database_;
  std::unique_ptr<sqlite3_stmt, Close> upsert_;
};

}  // namespace

Row sqlite_sync_1(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  const std::vector<std::string> ids = customer_ids(0, size.of(customers, 100));
  const std::vector<std::string> keys = random_keys(ids, size.of(300, 100));
  put_customers(folder.url("ours"), ids.size(), no_limit);
  SqlitePeer peer(folder.file("peer"), ids);
  Figures figures;
  {
    Limitr limitr = engine_at(folder.url("ours"), no_limit);
    const auto theirs = [&] {
      const Stopwatch watch;
      const std::uint64_t written = peer.write(keys, 1);
      return Sample{watch.seconds() * 1e6 / static_cast<double>(keys.size()), written};
    };
    figures = alternate(size.runs(), checks, [&] { return time_one_by_one(limitr, keys); }, theirs);
  }
  compare_stored(folder.url("ours"), ids, keys, size.runs() + 1, checks);
  return {.name = "sqlite_sync_1",
          .value = figures.ours,
          .unit = "us",
          .lower_is_better = true,
          .comparator = Comparator{"SQLite", *figures.comparator},
          .ratio = figures.ratio,
          .goal = {Goal::Of::ratio, Goal::Op::at_most, 1.3},
          .runs = figures.runs};
}

Row sqlite_sync_1000(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  const std::size_t in_flight = size.of(customers, 100);
  const std::vector<std::string> ids = customer_ids(0, in_flight);
  // Each customer in turn: a thousand calls in flight are for a thousand of them.
  std::vector<std::string> keys;
  for (std::size_t wave = 0; wave < size.of(20, 3); ++wave) {
    keys.insert(keys.end(), ids.begin(), ids.end());
  }
  put_customers(folder.url("ours"), ids.size(), no_limit);
  SqlitePeer peer(folder.file("peer"), ids);
  Figures figures;
  {
    Limitr limitr = engine_at(folder.url("ours"), no_limit);
    const auto theirs = [&] {
      const Stopwatch watch;
      const std::uint64_t written = peer.write(keys, in_flight);
      return Sample{static_cast<double>(keys.size()) / watch.seconds(), written};
    };
    figures = alternate(
        size.runs(), checks, [&] { return time_in_flight(limitr, keys, in_flight); }, theirs);
  }
  compare_stored(folder.url("ours"), ids, keys, size.runs() + 1, checks);
  return {.name = "sqlite_sync_1000",
          .value = figures.ours,
          .unit = "calls/s",
          .lower_is_better = false,
          .comparator = Comparator{"SQLite, 1,000 rows a commit", *figures.comparator},
          .ratio = figures.ratio,
          .goal = {Goal::Of::ratio, Goal::Op::at_least, 0.5},
          .runs = figures.runs};
}

Row sqlite_interval(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  const std::vector<std::string> ids = customer_ids(0, size.of(customers, 100));
  // Long enough for several intervals to be in each run.
  std::vector<std::string> keys = random_keys(ids, size.of(5'000'000, 10'000));
  put_customers(folder.url("ours"), ids.size(), no_limit);
  Limitr without = engine_with_customers(ids.size(), no_limit);
  Figures figures;
  {
    Limitr limitr = engine_at(folder.url("ours"), no_limit, {.durability = Durability::interval});
    required(limitr.warm(ids));
    figures = alternate(
        size.runs(), checks, [&] { return time_one_by_one(limitr, keys); },
        [&] { return time_one_by_one(without, keys); });
    required(limitr.close());
  }
  compare_stored(folder.url("ours"), ids, keys, size.runs() + 1, checks);
  return {.name = "sqlite_interval",
          .value = figures.ours * 1e3,
          .unit = "ns",
          .lower_is_better = true,
          .comparator = Comparator{"no store", *figures.comparator * 1e3},
          .ratio = figures.ratio,
          .goal = {Goal::Of::ratio, Goal::Op::at_most, 3},
          .runs = figures.runs};
}

}  // namespace limitr::bench
