// SPDX-License-Identifier: Apache-2.0
#include "env/mapped_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <fmt/format.h>

namespace limitr::env {

MappedFile::MappedFile(std::filesystem::path path, Descriptor file, std::byte* data,
                       std::size_t size, std::size_t max_bytes)
    : path_(std::move(path)),
      file_(std::move(file)),
      data_(data),
      size_(size),
      max_bytes_(max_bytes) {}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      max_bytes_(other.max_bytes_) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, max_bytes_);
}

Result<MappedFile> MappedFile::open(const std::filesystem::path& path, std::size_t max_bytes) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600));
  if (!file.is_open()) return io_error("open the file", path);
  struct ::stat found = {};
  if (::fstat(file.number(), &found) != 0) return io_error("look at the file", path);
  if (!S_ISREG(found.st_mode)) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is no file: name one of its own", path.string())};
  }
  while (::flock(file.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return io_error("lock the file", path);
    return Error{.code = ErrorCode::store_owned,
                 .message = fmt::format("`{}` is another engine's as long as that runs: give each "
                                        "one a file of its own",
                                        path.string())};
  }
  // Only now: whoever had it may have made it larger.
  if (::fstat(file.number(), &found) != 0) return io_error("look at the file", path);
  const auto size = static_cast<std::size_t>(found.st_size);
  if (size > max_bytes) {
    return Error{.code = ErrorCode::data_corrupt,
                 .message = fmt::format("`{}` has {} bytes, and {} at most are its own",
                                        path.string(), size, max_bytes)};
  }
  // Beyond its end too: that memory is the file's as soon as the file is so large.
  void* const data =
      ::mmap(nullptr, max_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.number(), 0);
  if (data == MAP_FAILED) return io_error("map the file", path);
  return MappedFile(path, std::move(file), static_cast<std::byte*>(data), size, max_bytes);
}

Result<void> MappedFile::resize(std::size_t size) {
  if (size > max_bytes_) {
    errno = EFBIG;
    return io_error("make the file larger", path_);
  }
  if (size < size_) {
    if (::ftruncate(file_.number(), static_cast<::off_t>(size)) != 0) {
      return io_error("make the file smaller", path_);
    }
  } else if (size > size_) {
    // With its blocks: to touch memory that finds no room on the disk ends the process.
    const auto more = static_cast<::off_t>(size - size_);
    if (const int failed = ::posix_fallocate(file_.number(), static_cast<::off_t>(size_), more)) {
      // It may have grown in part.
      (void)!::ftruncate(file_.number(), static_cast<::off_t>(size_));
      errno = failed;
      return io_error("make the file larger", path_);
    }
  }
  size_ = size;
  return {};
}

void MappedFile::unlock() { ::flock(file_.number(), LOCK_UN); }

}  // namespace limitr::env
