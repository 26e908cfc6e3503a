// SPDX-License-Identifier: Apache-2.0
#include "store/file/writer.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include <sys/file.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "store/file/document.h"
#include "store/file/journal.h"

// Why a group is whole, and safe, when commit() has answered:
// 1. It is one frame, proven by sums, and synced before commit() returns. What is no whole frame
//    counts for nobody.
// 2. Whoever takes the store over reads the journal and puts another in its place while he holds
//    the journal's lock. A group is written under the same lock, and only where the journal is
//    still the one by that name: so it is there when the successor reads, or is refused.
// 3. What is found in the files when they are opened may be in the page cache only: the sync of an
//    earlier process, or ours, may have failed, and a second one would say nothing. So all of it is
//    written to another file, which is synced, before anything is built on it.
namespace limitr::store::file {
namespace {

constexpr std::uint64_t smallest_fold = std::uint64_t{1} << 20U;

/// The lock of a journal: of that very file, whatever its name leads to.
class Turn {
public:
  explicit Turn(int file) : file_(file) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (is_taken_) ::flock(file_, LOCK_UN);
  }

  /// Whoever else has it folds, or was stopped in the middle of that.
  bool take() {
    constexpr int tries = 5'000;
    constexpr std::chrono::milliseconds pause{1};
    for (int i = 0; i < tries && !is_taken_; ++i) {
      is_taken_ = ::flock(file_, LOCK_EX | LOCK_NB) == 0;
      if (is_taken_ || (errno != EWOULDBLOCK && errno != EINTR)) break;
      std::this_thread::sleep_for(pause);
    }
    return is_taken_;
  }

private:
  const int file_;
  bool is_taken_ = false;
};

Error fenced(const std::string& path) {
  return {.code = ErrorCode::store_fenced,
          .message = fmt::format("another owner has taken `{}` over", path)};
}

Error not_taken(const std::string& path) {
  return {.code = ErrorCode::store_unavailable,
          .message = fmt::format("`{}` is locked by another process: try again", path)};
}

// What could not be written is as it was; what was written and not made safe is found when the
// store is opened.
Error from_replacing(const Error& error) {
  return {.code = ErrorCode::store_unavailable,
          .message = fmt::format("`{}`: {}", error.where, error.message)};
}

/// The journal that is there, if any, with its lock held. No successor gets past it, and no stale
/// owner writes to it.
Result<void> lock_journal(FileSystem& files, const std::string& path,
                          std::unique_ptr<env::Descriptor>& file, std::optional<Turn>& turn) {
  for (;;) {
    turn.reset();
    file = std::make_unique<env::Descriptor>(files.open(path, O_RDWR));
    if (!file->is_open()) return errno == ENOENT ? Result<void>() : failed(path);
    turn.emplace(file->number());
    if (!turn->take()) return not_taken(path);
    if (mark_of(file->number()).is_same_file(mark_at(path))) return {};
  }
}

// The files as they were found, for whoever wants to know what was in the damaged places.
Result<void> keep_damaged(FileSystem& files, const std::string& path, const Pair& pair) {
  const std::string kept = kept_of(path) + std::to_string(pair.contents.generation);
  if (auto copied = files.replace(kept, pair.json_text); !copied.ok()) return copied;
  if (pair.journal_text.empty()) return {};
  return files.replace(kept + ".journal", pair.journal_text);
}

}  // namespace

Result<std::unique_ptr<Writer>> Writer::open(FileSystem& files, const std::string& path,
                                             const Owner& owner, std::uint64_t epoch,
                                             Contents& contents, std::vector<std::string>& damage) {
  std::unique_ptr<env::Descriptor> journal;
  std::optional<Turn> turn;
  if (auto locked = lock_journal(files, journal_of(path), journal, turn); !locked.ok()) {
    return std::move(locked).error();
  }
  Result<Pair> pair = read_pair(files, path, /*keeps=*/true);
  if (!pair.ok()) return std::move(pair).error();
  if (epoch != 0 && pair->contents.epoch > epoch) return fenced(path);
  if (!pair->damage.empty()) {
    auto copied = keep_damaged(files, path, *pair);
    if (!copied.ok()) return from_replacing(copied.error());
  }
  damage = std::move(pair->damage);
  contents = std::move(pair->contents);
  pair = Pair();  // The files' texts are no longer wanted, and another is about to be made.
  ++contents.epoch;
  contents.owner = owner;
  std::unique_ptr<Writer> writer(new Writer(files, path));
  writer->epoch_ = contents.epoch;
  writer->owner_ = mark_at(path + ".owner");
  if (auto begun = writer->begin(contents); !begun.ok()) return std::move(begun).error();
  return writer;
}

Result<void> Writer::begin(Contents& contents) {
  if (auto written = write_json(contents); !written.ok()) return written;
  return begin_journal(contents);
}

Result<void> Writer::write_json(Contents& contents) {
  ++contents.generation;
  const Document document = to_document(contents);
  if (auto replaced = files_.replace(path_, document.text); !replaced.ok()) {
    return from_replacing(replaced.error());
  }
  seal_ = document.seal;
  json_size_ = document.text.size();
  json_file_ = std::make_unique<env::Descriptor>(files_.open(path_, O_RDONLY));
  if (!json_file_->is_open()) return failed(path_);
  json_ = mark_of(json_file_->number());
  return {};
}

Result<void> Writer::begin_journal(const Contents& contents) {
  const std::string header = to_bytes({.generation = contents.generation, .seal = seal_});
  if (auto replaced = files_.replace(journal_path_, header); !replaced.ok()) {
    return from_replacing(replaced.error());
  }
  journal_ = std::make_unique<env::Descriptor>(files_.open(journal_path_, O_RDWR));
  if (!journal_->is_open()) return failed(journal_path_);
  // Whoever may read the one is to read both. Where that cannot be, they read neither.
  struct ::stat json = {};
  if (::fstat(json_file_->number(), &json) == 0) {
    [[maybe_unused]] const int given = ::fchmod(journal_->number(), json.st_mode & 0666U);
  }
  // A successor may have put his there meanwhile.
  const Result<std::string> there = read_all(files_, journal_->number(), journal_path_);
  if (!there.ok()) return there.error();
  if (*there != header) return replaced_error();
  journal_size_ = header.size();
  has_frames_ = false;
  fold_at_ = std::max(smallest_fold, json_size_);
  return {};
}

Result<void> Writer::check_ours() const {
  // Also before the lock is taken: a busy owner would let his successor wait for it for long.
  const Mark owner = mark_at(path_ + ".owner");
  if (owner.is_there() && !owner.is_same_file(owner_)) return fenced(path_);
  const bool is_ours = json_.is_same_file(mark_at(path_)) &&
                       mark_of(journal_->number()).is_same_file(mark_at(journal_path_));
  return is_ours ? Result<void>() : replaced_error();
}

/// store_fenced, where another owner has written since; store_unavailable, where somebody else has
/// laid hands on the files.
Error Writer::replaced_error() const {
  const Result<Pair> now = read_pair(files_, path_, /*keeps=*/false);
  if (now.ok() && now->contents.epoch > epoch_) return fenced(path_);
  return Error{.code = ErrorCode::store_unavailable,
               .message = fmt::format("`{}` or its journal was removed or replaced while it was "
                                      "open",
                                      path_)};
}

Result<void> Writer::commit(const Group& group) {
  if (auto ours = check_ours(); !ours.ok()) return ours;
  const std::string frame = to_frame(group, seal_, journal_size_);
  Turn turn(journal_->number());
  if (!turn.take()) return not_taken(journal_path_);
  if (auto ours = check_ours(); !ours.ok()) return ours;
  return append(frame);
}

Result<void> Writer::append(const std::string& frame) {
  for (std::size_t done = 0; done < frame.size();) {
    const ::ssize_t count =
        files_.write(journal_->number(), frame.data() + done, frame.size() - done,
                     static_cast<::off_t>(journal_size_ + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      Error error = failed(journal_path_);
      // What stays there may be all of it, whatever the disk has said.
      if (files_.truncate(journal_->number(), static_cast<::off_t>(journal_size_)) != 0) {
        error.code = ErrorCode::outcome_unknown;
      }
      return error;
    }
    done += static_cast<std::size_t>(count);
  }
  if (files_.sync(journal_->number()) != 0) {
    Error error = failed(journal_path_);
    error.code = ErrorCode::outcome_unknown;
    return error;
  }
  journal_size_ += frame.size();
  has_frames_ = true;
  return {};
}

// False: the JSON that was there still is, and goes on. REQUIRES: the journal's lock is held.
Result<bool> Writer::rewrite_json(Contents& contents) {
  if (auto ours = check_ours(); !ours.ok()) return std::move(ours).error();
  const Mark before = json_;
  auto written = write_json(contents);
  if (written.ok()) return true;
  // The new one may be there without being safe: only opening tells what to build on.
  if (!before.is_same_file(mark_at(path_))) return std::move(written).error();
  --contents.generation;
  return false;
}

Result<bool> Writer::fold(Contents& contents) {
  Turn turn(journal_->number());
  if (!turn.take()) return not_taken(journal_path_);
  Result<bool> rewritten = rewrite_json(contents);
  if (!rewritten.ok()) return rewritten;
  if (!*rewritten) {
    fold_at_ = 2 * journal_size_;
    return false;
  }
  // Closed, it would lose its lock.
  const std::unique_ptr<env::Descriptor> before = std::move(journal_);
  if (auto begun = begin_journal(contents); !begun.ok()) return std::move(begun).error();
  return true;
}

Error Writer::not_folded() const {
  return {.code = ErrorCode::store_unavailable,
          .message = fmt::format("`{}` could not be written anew: what was committed is in it and "
                                 "its journal together",
                                 path_)};
}

Result<void> Writer::finish(Contents& contents) {
  Turn turn(journal_->number());
  if (!turn.take()) return not_taken(journal_path_);
  if (has_frames_) {
    const Result<bool> rewritten = rewrite_json(contents);
    if (!rewritten.ok()) return rewritten.error();
    if (!*rewritten) return not_folded();
  } else if (auto ours = check_ours(); !ours.ok()) {
    return ours;
  }
  // Where it comes back with a power failure, it has nothing to say that is not in the JSON.
  if (files_.remove(journal_path_) != 0) return failed(journal_path_);
  return {};
}

}  // namespace limitr::store::file
