// SPDX-License-Identifier: Apache-2.0
#include "store/file/file_system.h"

#include <cerrno>
#include <system_error>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "env/atomic_file.h"

namespace limitr::store::file {
namespace {

Mark mark_from(const struct ::stat& found) {
  return {.device = found.st_dev,
          .number = found.st_ino,
          .size = found.st_size,
          .changed_s = found.st_ctim.tv_sec,
          .changed_ns = found.st_ctim.tv_nsec};
}

}  // namespace

int FileSystem::open(const std::string& path, int flags) {
  return ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

::ssize_t FileSystem::read(int file, char* to, std::size_t size, ::off_t at) {
  return ::pread(file, to, size, at);
}

::ssize_t FileSystem::write(int file, const char* from, std::size_t size, ::off_t at) {
  return ::pwrite(file, from, size, at);
}

int FileSystem::sync(int file) { return ::fdatasync(file); }
int FileSystem::truncate(int file, ::off_t size) { return ::ftruncate(file, size); }
int FileSystem::remove(const std::string& path) { return ::unlink(path.c_str()); }

Result<void> FileSystem::replace(const std::string& path, std::string_view text) {
  return env::replace_file(path, text);
}

Error failed(const std::string& path) {
  return {.code = ErrorCode::store_unavailable,
          .message = fmt::format("`{}`: {}{}", path, std::generic_category().message(errno),
                                 errno == ENOSPC ? "; make room on its disk" : "")};
}

Result<std::string> read_all(FileSystem& files, int file, const std::string& path) {
  constexpr std::size_t more = 4'096;
  const auto known = static_cast<std::size_t>(mark_of(file).size);
  std::string text;
  text.reserve(known + more);
  for (std::size_t size = 0;;) {
    // As much as there is said to be, then until its end: it may grow meanwhile.
    text.resize(size + (known > size ? known - size : more));
    const ::ssize_t count =
        files.read(file, text.data() + size, text.size() - size, static_cast<::off_t>(size));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed(path);
    size += static_cast<std::size_t>(count);
    if (count > 0) continue;
    text.resize(size);
    return text;
  }
}

Mark mark_of(int file) {
  struct ::stat found = {};
  return ::fstat(file, &found) == 0 ? mark_from(found) : Mark{};
}

Mark mark_at(const std::string& path) {
  struct ::stat found = {};
  return ::lstat(path.c_str(), &found) == 0 ? mark_from(found) : Mark{};
}

}  // namespace limitr::store::file
