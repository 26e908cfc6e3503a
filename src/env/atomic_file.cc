// SPDX-License-Identifier: Apache-2.0
// 1. Whoever holds the lock of the file `.new` that is there by that name may write to it, rename
//    it and remove it; nobody else does.
// 2. It gets the file's name only when all of it is on the disk.
#include "env/atomic_file.h"

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "env/descriptor.h"

namespace limitr::env {
namespace {

using std::filesystem::path;
using Status = struct stat;

// A regular file, or the place where one can be.
struct Target {
  path file;
  std::optional<Status> status;  // Of the file that is there.

  path folder() const { return file.has_parent_path() ? file.parent_path() : path("."); }
};

Error refused(std::string message, const path& file) {
  return {.code = ErrorCode::io_failed, .message = std::move(message), .where = file.string()};
}

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// Follows links also where nothing is at their end yet: that is where the file comes to be.
Result<path> end_of_links(const path& file) {
  constexpr int most_links = 40;  // As the kernel's.
  path at = file;
  for (int links = 0; links <= most_links; ++links) {
    Status status{};
    if (::lstat(at.c_str(), &status) != 0 || !S_ISLNK(status.st_mode)) return at;
    std::error_code failed;
    const path next = std::filesystem::read_symlink(at, failed);
    if (failed) break;
    at = at.parent_path() / next;
  }
  return refused("cannot write: its links lead nowhere", file);
}

Result<Target> target_of(const path& file) {
  const Result<path> end = end_of_links(file);
  if (!end.ok()) return end.error();
  Target target{*end, std::nullopt};
  Status status{};
  if (::lstat(end->c_str(), &status) != 0) {
    if (errno == ENOENT && end->has_filename()) return target;
    return io_error("write", file);
  }
  if (!S_ISREG(status.st_mode)) {
    return refused(
        fmt::format("cannot write: it is {}, not a regular file", kind_of(status.st_mode)), file);
  }
  target.status = status;
  return target;
}

bool is_same(const Status& a, const Status& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Result<Descriptor> open_locked(const path& scratch) {
  while (true) {
    Descriptor out(::open(scratch.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                          S_IRUSR | S_IWUSR));
    if (!out.is_open()) return io_error("write", scratch);
    while (::flock(out.number(), LOCK_EX) != 0) {
      if (errno != EINTR) return io_error("lock", scratch);
    }
    Status ours{};
    if (::fstat(out.number(), &ours) != 0) return io_error("write", scratch);
    if (!S_ISREG(ours.st_mode) || ours.st_uid != ::geteuid())
      return refused("cannot write: what is there is not ours", scratch);
    // Whoever had the lock before has renamed or removed the file that it was the lock of.
    Status there{};
    if (::lstat(scratch.c_str(), &there) == 0 && is_same(ours, there)) return out;
  }
}

// True: the new file belongs to whom the old one belonged to, or may not be given away.
bool keep_owner(int out, const Status& old) {
  if (::fchown(out, old.st_uid, old.st_gid) == 0) return true;
  return ::fchown(out, static_cast<uid_t>(-1), old.st_gid) == 0 || errno == EPERM;
}

// An empty file with the rights that the new one is to have.
Result<void> prepare(const Descriptor& out, const Target& target) {
  constexpr mode_t permissions = 07777;
  if (::ftruncate(out.number(), 0) != 0) return io_error("write", target.file);
  if (target.status && !keep_owner(out.number(), *target.status))
    return io_error("write", target.file);
  const mode_t mode = target.status ? target.status->st_mode & permissions : S_IRUSR | S_IWUSR;
  if (::fchmod(out.number(), mode) != 0) return io_error("write", target.file);
  return {};
}

// The rename is only safe once the folder is: it is what remembers the name.
Result<void> sync_folder(const path& folder) {
  const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.is_open() || ::fsync(opened.number()) != 0) return io_error("sync", folder);
  return {};
}

}  // namespace

struct FileReplacement::State {
  path file;
  path folder;
  path scratch;
  Descriptor out;
  bool is_done = false;  // The scratch file has become the file.
};

FileReplacement::FileReplacement(std::unique_ptr<State> state) : state_(std::move(state)) {}
FileReplacement::FileReplacement(FileReplacement&& other) noexcept = default;

FileReplacement::~FileReplacement() {
  if (state_ && !state_->is_done) ::unlink(state_->scratch.c_str());
}

Result<FileReplacement> FileReplacement::begin(const path& file) {
  const Result<Target> target = target_of(file);
  if (!target.ok()) return target.error();
  path scratch = target->file.string() + ".new";
  Result<Descriptor> out = open_locked(scratch);
  if (!out.ok()) return std::move(out).error();
  FileReplacement begun(std::make_unique<State>(State{.file = target->file,
                                                      .folder = target->folder(),
                                                      .scratch = std::move(scratch),
                                                      .out = *std::move(out)}));
  if (auto prepared = prepare(begun.state_->out, *target); !prepared.ok())
    return std::move(prepared).error();
  return begun;
}

Result<void> FileReplacement::write(std::string_view piece) {
  while (!piece.empty()) {
    const ssize_t count = ::write(state_->out.number(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("write", state_->file);
    piece.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

Result<void> FileReplacement::commit() {
  const path& file = state_->file;
  if (::fsync(state_->out.number()) != 0) return io_error("write", file);
  if (::rename(state_->scratch.c_str(), file.c_str()) != 0) return io_error("write", file);
  state_->is_done = true;
  return sync_folder(state_->folder);
}

Result<void> replace_file(const path& file, std::string_view text) {
  Result<FileReplacement> replacement = FileReplacement::begin(file);
  if (!replacement.ok()) return std::move(replacement).error();
  if (auto written = replacement->write(text); !written.ok()) return written;
  return replacement->commit();
}

Result<void> check_replaceable(const path& file) {
  const Result<Target> target = target_of(file);
  if (!target.ok()) return target.error();
  if (::access(target->folder().c_str(), W_OK | X_OK) != 0) return io_error("write", file);
  return {};
}

}  // namespace limitr::env
