// SPDX-License-Identifier: Apache-2.0
#include "store/file/file_store.h"

#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "store/file/contents.h"
#include "store/file/document.h"
#include "store/file/pair.h"
#include "store/file/writer.h"
#include "store/owner_lock.h"

// INVARIANTS:
// 1. Whoever owns holds the lock of the file from before it is opened until after it is closed.
// 2. What the owner has in memory is what the files hold and is safe; nothing else is ever read.
// 3. The writer has never failed. With its first error it is gone, and open() makes another.
// 4. Contents change under both mutexes, so that either is enough to read them. Who takes both
// takes
//    the writer's first.
namespace limitr::store {
namespace {

using file::Contents;
using file::FileSystem;
using file::KeptPointer;
using file::Mark;
using file::Pair;
using file::Writer;

FileSystem& system_files() {
  static FileSystem files;
  return files;
}

Opened describe(const Contents& contents, const std::vector<std::string>& found) {
  Opened opened;
  opened.last_group = contents.last_group;
  opened.customers = contents.customers().size();
  const auto say = [&](const std::string& message) {
    opened.damage.push_back({.code = ErrorCode::data_corrupt, .message = message});
  };
  const auto take = [&](const std::optional<file::Text>& from, std::optional<std::string>& text) {
    if (from && from->damage) {
      say(*from->damage);
    } else if (from) {
      text = from->text;
    }
  };
  take(contents.estimates, opened.estimates);
  take(contents.policy, opened.policy);
  for (const std::string& message : found) say(message);
  return opened;
}

class FileStore final : public Store {
public:
  explicit FileStore(FileOptions options)
      : given_path_(std::move(options.path)),
        files_(options.files ? *options.files : system_files()) {}
  ~FileStore() override { [[maybe_unused]] const auto closed = shut(); }

  Result<Opened> open(Access access, const Owner& owner) override {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(contents_mutex_);
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
    if (!committed.ok()) {
      give_up(committed.error().code);
      return committed;
    }
    {
      const std::lock_guard reading(contents_mutex_);
      contents_.apply(group);
      bytes_ = writer_->bytes();
    }
    // What was committed is safe whether it is folded or not.
    if (writer_->wants_fold()) (void)fold_journal();
    return {};
  }

  Result<void> fold() override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return closed();
    return writer_->has_frames() ? fold_journal() : Result<void>();
  }

  Result<std::uint64_t> last_group() override {
    const std::lock_guard reading(contents_mutex_);
    if (auto ready = look_again(); !ready.ok()) return std::move(ready).error();
    return contents_.last_group;
  }

  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) override {
    std::map<std::string, KeptPointer, std::less<>> found;
    {
      const std::lock_guard reading(contents_mutex_);
      if (auto ready = look_again(); !ready.ok()) return std::move(ready).error();
      for (const std::string& name : ids) {
        const auto [id, kept] = contents_.find(name);
        if (kept) found.emplace(id, kept);
      }
    }
    std::vector<StoredCustomer> customers;
    for (const auto& [id, kept] : found) customers.push_back(to_stored(id, *kept));
    return customers;
  }

  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(StoredCustomer)>& visit) override {
    std::vector<std::pair<std::string, KeptPointer>> customers;
    {
      const std::lock_guard reading(contents_mutex_);
      if (auto ready = look_again(); !ready.ok()) return ready;
      const auto& all = contents_.customers();
      customers.assign(after ? all.upper_bound(*after) : all.begin(), all.end());
    }
    for (const auto& [id, kept] : customers) {
      if (!visit(to_stored(id, *kept))) break;
    }
    return {};
  }

  Result<Status> status() override {
    const std::lock_guard reading(contents_mutex_);
    if (auto ready = look_again(); !ready.ok()) return std::move(ready).error();
    Status status;
    status.kind = "file";
    if (OwnerLock::is_held(path_)) status.owner = contents_.owner;
    status.last_group = contents_.last_group;
    status.customers = contents_.customers().size();
    status.requests = contents_.requests();
    status.bytes = bytes_;
    status.schema = file::schema_version;
    return status;
  }

  Result<void> close() override { return shut(); }

private:
  Error closed() const {
    return {.code = ErrorCode::store_unavailable,
            .message = fmt::format("the store `{}` is not open{}", given_path_,
                                   has_failed_ ? ": open it again after its failure" : "")};
  }

  Result<Opened> open_files(Access access, const Owner& owner) {
    if (access == Access::share) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("`{}` is a file, which one engine owns: to share state, "
                                          "use Redis or PostgreSQL",
                                          given_path_)};
    }
    Result<std::string> path = resolve_path(given_path_);
    if (!path.ok()) return std::move(path).error();
    path_ = *std::move(path);
    if (access == Access::own) return open_to_own(owner);
    lose_lock();
    if (auto read = read_files(); !read.ok()) return std::move(read).error();
    return describe(contents_, damage_);
  }

  Result<Opened> open_to_own(const Owner& owner) {
    // Its file may have been removed, and another be the owner by now. Where nobody is, the epoch
    // still tells whether somebody was.
    if (lock_ && !lock_->is_of(path_)) lock_.reset();
    if (!lock_) {
      Result<OwnerLock> lock = OwnerLock::take(path_, owner);
      if (!lock.ok()) return std::move(lock).error();
      lock_ = *std::move(lock);
    }
    Result<std::unique_ptr<Writer>> writer =
        Writer::open(files_, path_, owner, epoch_, contents_, damage_);
    if (!writer.ok()) return std::move(writer).error();
    writer_ = *std::move(writer);
    epoch_ = contents_.epoch;
    bytes_ = writer_->bytes();
    is_open_ = true;
    return describe(contents_, damage_);
  }

  /// A reader's contents are those of the files that are there now. REQUIRES: the contents' mutex
  /// is held.
  Result<void> look_again() {
    if (!is_open_) return closed();
    if (lock_) return {};
    const bool is_same =
        file::mark_at(path_) == json_ && file::mark_at(file::journal_of(path_)) == journal_;
    return is_same ? Result<void>() : read_files();
  }

  Result<void> read_files() {
    Result<Pair> pair = read_pair(files_, path_, /*keeps=*/false);
    if (!pair.ok()) return std::move(pair).error();
    if (!pair->is_there) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("`{}`: there is no such file to read", path_)};
    }
    contents_ = std::move(pair->contents);
    damage_ = std::move(pair->damage);
    json_ = pair->json;
    journal_ = pair->journal;
    bytes_ = static_cast<std::uint64_t>(json_.size + journal_.size);
    for (int i = 0; i < 2; ++i) reader_files_[i] = std::move(pair->files[i]);
    is_open_ = true;
    return {};
  }

  /// REQUIRES: the writer's mutex is held, and there is one.
  Result<void> fold_journal() {
    const Result<bool> folded = writer_->fold(contents_);
    if (!folded.ok()) {
      give_up(folded.error().code);
      return folded.error();
    }
    if (!*folded) return writer_->not_folded();
    const std::lock_guard reading(contents_mutex_);
    bytes_ = writer_->bytes();
    return {};
  }

  /// REQUIRES: the writer's mutex is held.
  void give_up(ErrorCode code) {
    writer_.reset();
    const std::lock_guard reading(contents_mutex_);
    has_failed_ = true;
    // Nothing was written: what is in memory is what the files hold.
    if (code == ErrorCode::store_unavailable) return;
    is_open_ = false;
    if (code == ErrorCode::store_fenced) lose_lock();
  }

  /// Whoever opens after that comes as a new owner. REQUIRES: both mutexes are held.
  void lose_lock() {
    lock_.reset();
    epoch_ = 0;
  }

  /// REQUIRES: both mutexes are held.
  void shut_files() {
    writer_.reset();
    contents_ = Contents();
    damage_.clear();
    for (auto& file : reader_files_) file.reset();
    is_open_ = false;
    has_failed_ = false;
  }

  Result<void> shut() {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(contents_mutex_);
    Result<void> finished;
    if (writer_) finished = writer_->finish(contents_);
    shut_files();
    lose_lock();
    return finished;
  }

  const std::string given_path_;
  FileSystem& files_;

  std::mutex writer_mutex_;
  std::unique_ptr<Writer> writer_;
  std::uint64_t epoch_ = 0;  // Of our last opening, as long as nobody was told of another's.

  std::mutex contents_mutex_;
  std::string path_;               // Resolved. Guarded by both.
  std::optional<OwnerLock> lock_;  // Guarded by both.
  Contents contents_;
  std::vector<std::string> damage_;  // What was found when it was last read.
  Mark json_;                        // What a reader has read.
  Mark journal_;
  std::shared_ptr<env::Descriptor> reader_files_[2];
  std::uint64_t bytes_ = 0;
  bool is_open_ = false;
  bool has_failed_ = false;
};

}  // namespace

std::unique_ptr<Store> file_store(FileOptions options) {
  return std::make_unique<FileStore>(std::move(options));
}

}  // namespace limitr::store
