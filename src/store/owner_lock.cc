// SPDX-License-Identifier: Apache-2.0
#include "store/owner_lock.h"

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace limitr::store {
namespace {

// is_held() takes the lock for an instant; whoever opens at that instant must not take it for an
// owner.
constexpr int tries = 20;
constexpr std::chrono::milliseconds pause{1};

std::string owner_file(const std::string& path) { return path + ".owner"; }

Error failed(ErrorCode code, const std::string& path, int reason) {
  return {.code = code,
          .message = fmt::format("`{}`: {}", path, std::generic_category().message(reason))};
}

/// The path without links, or none; then errno says why.
std::optional<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
  if (!real) return std::nullopt;
  return std::string(real.get());
}

Result<std::string> resolve_existing(const std::string& path) {
  struct ::stat found = {};
  if (::stat(path.c_str(), &found) != 0) {
    return failed(ErrorCode::store_unavailable, path, errno);
  }
  if (!S_ISREG(found.st_mode)) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is no file: name a file of the store's own", path)};
  }
  // Under two names it would have two locks, and two journals beside it.
  if (found.st_nlink > 1) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` has more than one name (hard links): "
                                        "a store must have one",
                                        path)};
  }
  return path;
}

bool lock_now(int file) {
  for (int i = 0; i < tries; ++i) {
    if (::flock(file, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK && errno != EINTR) return false;
    std::this_thread::sleep_for(pause);
  }
  errno = EWOULDBLOCK;
  return false;
}

Error owned(const std::string& path, int file) {
  char text[300];
  const ssize_t size = ::pread(file, text, sizeof text, 0);
  std::string_view owner(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  owner = owner.substr(0, owner.find('\n'));
  return {.code = ErrorCode::store_owned,
          .message = fmt::format("the store `{}` is owned by {}: stop it first", path,
                                 owner.empty() ? "another process" : owner)};
}

}  // namespace

Result<std::string> resolve_path(const std::string& path) {
  if (auto real = real_path(path)) return resolve_existing(*real);
  if (errno != ENOENT) return failed(ErrorCode::store_unavailable, path, errno);
  struct ::stat link = {};
  if (::lstat(path.c_str(), &link) == 0) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is a link that leads nowhere", path)};
  }
  const std::size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const auto real = real_path(folder);
  if (name.empty() || !real) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}`: there is no such folder; make it first", folder)};
  }
  return *real == "/" ? "/" + name : *real + "/" + name;
}

std::string to_text(const Owner& owner) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(owner.since);
  return fmt::format("process {} on {} since {:%FT%T}.{:03}Z", owner.process, owner.host,
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (owner.since - seconds).count());
}

Result<OwnerLock> OwnerLock::take(const std::string& path, const Owner& owner) {
  const std::string name = owner_file(path);
  const int file = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return failed(ErrorCode::store_unavailable, name, errno);
  if (!lock_now(file)) {
    const Error error = errno == EWOULDBLOCK ? owned(path, file)
                                             : failed(ErrorCode::store_unavailable, name, errno);
    ::close(file);
    return error;
  }
  OwnerLock lock(file);
  // The text is a courtesy: on a full disk, the lock alone owns.
  const std::string text = to_text(owner) + "\n";
  if (::ftruncate(file, 0) == 0) {
    [[maybe_unused]] const ssize_t written = ::pwrite(file, text.data(), text.size(), 0);
  }
  return lock;
}

bool OwnerLock::is_held(const std::string& path) {
  const int file = ::open(owner_file(path).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool held = ::flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(file);
  return held;
}

bool OwnerLock::is_of(const std::string& path) const {
  struct ::stat ours = {};
  struct ::stat there = {};
  return ::fstat(file_, &ours) == 0 && ::stat(owner_file(path).c_str(), &there) == 0 &&
         ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

OwnerLock::OwnerLock(OwnerLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

OwnerLock& OwnerLock::operator=(OwnerLock&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

// Closing ends the lock. Nobody waits for it, so there is no order to keep.
OwnerLock::~OwnerLock() {
  if (file_ < 0) return;
  [[maybe_unused]] const int emptied = ::ftruncate(file_, 0);
  ::close(file_);
}

}  // namespace limitr::store
