// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite/sqlite_store.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include <fmt/format.h>

#include "store/owner_lock.h"
#include "store/sqlite/reader.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/writer.h"

// INVARIANTS:
// 1. Whoever owns holds the lock of the file from before it is opened until after it is closed.
// 2. The writer has never failed. With its first error it is gone, and open() makes another.
// 3. The file is touched by SQLite alone: closing any other descriptor of it would end the locks
//    that SQLite holds in this process.
// 4. Who takes both mutexes takes the writer's first.
namespace limitr::store {
namespace {

using sqlite::OwnerRow;
using sqlite::Reader;
using sqlite::Writer;

std::uint64_t size_of(const std::string& path) {
  struct ::stat found = {};
  return ::stat(path.c_str(), &found) == 0 ? static_cast<std::uint64_t>(found.st_size) : 0;
}

Result<Opened> describe(Reader& reader, std::vector<Damaged>& damaged) {
  const Result<OwnerRow> row = reader.owner();
  if (!row.ok()) return row.error();
  auto estimates = reader.text("estimates", damaged);
  if (!estimates.ok()) return std::move(estimates).error();
  auto policy = reader.text("policy", damaged);
  if (!policy.ok()) return std::move(policy).error();
  Opened opened{.last_group = row->last_group,
                .customers = row->counts.customers,
                .estimates = *std::move(estimates),
                .policy = *std::move(policy)};
  for (const Damaged& text : damaged) opened.damage.push_back(error_of(text));
  return opened;
}

class SqliteStore final : public Store {
public:
  explicit SqliteStore(SqliteOptions options) : options_(std::move(options)) {}
  ~SqliteStore() override { shut(); }

  Result<Opened> open(Access access, const Owner& owner) override {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(reader_mutex_);
    // The lock outlives reopening: nobody takes over while the owner comes back from a failure.
    const bool was_owner = lock_.has_value();
    shut_files();
    Result<Opened> opened = open_files(access, owner);
    if (opened.ok()) return opened;
    shut_files();
    const bool is_anothers = !lock_ || opened.error().code == ErrorCode::store_fenced;
    if (!was_owner || is_anothers) lose_lock();
    return opened;
  }

  Result<void> commit(const Group& group) override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return closed();
    Result<void> committed = writer_->commit(group);
    if (!committed.ok()) give_up(committed.error().code);
    return committed;
  }

  Result<std::uint64_t> last_group() override {
    const std::lock_guard reading(reader_mutex_);
    if (!reader_) return closed();
    const Result<OwnerRow> row = reader_->owner();
    if (!row.ok()) return row.error();
    return row->last_group;
  }

  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) override {
    std::vector<Damaged> damaged;
    const auto found = [&]() -> Result<std::vector<StoredCustomer>> {
      const std::lock_guard reading(reader_mutex_);
      if (!reader_) return closed();
      return reader_->read(ids, damaged);
    }();
    set_aside(damaged);
    return found;
  }

  // On a connection of its own: it may take long, and `visit` may read.
  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(StoredCustomer)>& visit) override {
    std::string path;
    {
      const std::lock_guard reading(reader_mutex_);
      if (!reader_) return closed();
      path = path_;
    }
    Result<std::unique_ptr<Reader>> reader = Reader::open(path, options_.busy_timeout);
    if (!reader.ok()) return std::move(reader).error();
    std::vector<Damaged> damaged;
    Result<void> scanned = (*reader)->scan(after, visit, damaged);
    reader->reset();
    set_aside(damaged);
    return scanned;
  }

  Result<Status> status() override {
    const std::lock_guard reading(reader_mutex_);
    if (!reader_) return closed();
    const Result<OwnerRow> row = reader_->owner();
    if (!row.ok()) return row.error();
    Status status;
    status.kind = "sqlite";
    if (OwnerLock::is_held(path_)) status.owner = row->owner;
    status.last_group = row->last_group;
    status.customers = row->counts.customers;
    status.requests = row->counts.requests;
    status.bytes = size_of(path_) + size_of(path_ + "-wal");
    status.schema = sqlite::schema_version;
    status.software = fmt::format("SQLite {}", sqlite3_libversion());
    return status;
  }

  Result<void> close() override {
    shut();
    return {};
  }

private:
  Error closed() const {
    return {.code = ErrorCode::store_unavailable,
            .message = fmt::format("the store `{}` is not open{}", options_.path,
                                   writer_failed_ ? ": open it again after its failure" : "")};
  }

  Result<Opened> open_files(Access access, const Owner& owner) {
    if (access == Access::share) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("`{}` is a file, which one engine owns: to share state, "
                                          "use Redis or PostgreSQL",
                                          options_.path)};
    }
    Result<std::string> path = resolve_path(options_.path);
    if (!path.ok()) return std::move(path).error();
    path_ = *std::move(path);
    if (access == Access::own) {
      if (auto owned = open_writer(owner); !owned.ok()) return std::move(owned).error();
    } else {
      lose_lock();
      if (auto there = must_exist(); !there.ok()) return std::move(there).error();
    }
    auto reader = Reader::open(path_, options_.busy_timeout);
    if (!reader.ok()) return std::move(reader).error();
    reader_ = *std::move(reader);
    std::vector<Damaged> damaged;
    Result<Opened> opened = describe(*reader_, damaged);
    if (opened.ok() && writer_ && !damaged.empty()) {
      if (auto kept = writer_->set_aside(damaged); !kept.ok()) return std::move(kept).error();
    }
    return opened;
  }

  Result<void> open_writer(const Owner& owner) {
    if (options_.synchronous < Synchronous::full && !options_.accept_weaker) {
      return Error{.code = ErrorCode::store_weaker,
                   .message =
                       "synchronous below full loses groups when the power fails: "
                       "set it to full, or accept_weaker"};
    }
    // Its file may have been removed, and another be the owner by now. Where nobody is, the epoch
    // still tells whether somebody was.
    if (lock_ && !lock_->is_of(path_)) lock_.reset();
    if (!lock_) {
      Result<OwnerLock> lock = OwnerLock::take(path_, owner);
      if (!lock.ok()) return std::move(lock).error();
      lock_ = *std::move(lock);
    }
    Result<std::unique_ptr<Writer>> writer = Writer::open(path_, options_, owner, epoch_);
    if (!writer.ok()) return std::move(writer).error();
    writer_ = *std::move(writer);
    epoch_ = writer_->epoch();
    return {};
  }

  Result<void> must_exist() const {
    struct ::stat found = {};
    if (::stat(path_.c_str(), &found) == 0) return {};
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}`: there is no such file to read", path_)};
  }

  /// REQUIRES: the writer's mutex is held.
  void give_up(ErrorCode code) {
    writer_->abandon();
    writer_.reset();
    writer_failed_ = true;
    // Nothing was written: the reader has seen nothing that is not in the file.
    if (code == ErrorCode::store_unavailable || code == ErrorCode::invalid_argument) return;
    const std::lock_guard reading(reader_mutex_);
    reader_.reset();
    if (code == ErrorCode::store_fenced) lose_lock();
  }

  // Where it cannot be kept now, it stands where it is and is found again.
  void set_aside(const std::vector<Damaged>& damaged) {
    if (damaged.empty()) return;
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return;
    const Result<void> kept = writer_->set_aside(damaged);
    if (!kept.ok()) give_up(kept.error().code);
  }

  // Whoever opens after that comes as a new owner. REQUIRES: the writer's mutex is held.
  void lose_lock() {
    lock_.reset();
    epoch_ = 0;
  }

  /// REQUIRES: both mutexes are held.
  void shut_files() {
    reader_.reset();  // First, so that the writer is the last one and takes the journal away.
    writer_.reset();
    writer_failed_ = false;
  }

  void shut() {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(reader_mutex_);
    shut_files();
    lose_lock();
  }

  const SqliteOptions options_;

  std::mutex writer_mutex_;
  std::optional<OwnerLock> lock_;
  std::unique_ptr<Writer> writer_;
  std::uint64_t epoch_ = 0;  // Of our last opening, as long as nobody was told of another's.

  std::mutex reader_mutex_;
  std::string path_;  // Resolved. Guarded by both.
  std::unique_ptr<Reader> reader_;
  std::atomic<bool> writer_failed_ = false;
};

}  // namespace

std::unique_ptr<Store> sqlite_store(SqliteOptions options) {
  return std::make_unique<SqliteStore>(std::move(options));
}

}  // namespace limitr::store
