// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/types.h>

#include <limitr/result.h>

namespace limitr::store::file {

/// What the store asks of the file system, so that tests can let any of it fail. But for replace(),
/// these are the system's calls, which say in errno why they failed.
class FileSystem {
public:
  virtual ~FileSystem() = default;

  virtual int open(const std::string& path, int flags);
  virtual ::ssize_t read(int file, char* to, std::size_t size, ::off_t at);
  virtual ::ssize_t write(int file, const char* from, std::size_t size, ::off_t at);
  /// The content and what is needed to get at it, not the times.
  virtual int sync(int file);
  virtual int truncate(int file, ::off_t size);
  virtual int remove(const std::string& path);
  /// env::replace_file(): whole and safe, or an error and perhaps in place all the same.
  virtual Result<void> replace(const std::string& path, std::string_view text);
};

/// Store errors of a failed call: "`path`: No space left on device", by errno.
Error failed(const std::string& path);

/// The whole of an open file. Errors: store_unavailable.
Result<std::string> read_all(FileSystem& files, int file, const std::string& path);

/// Which file stands somewhere, and which state of it: what a change of it changes.
struct Mark {
  ::dev_t device = 0;
  ::ino_t number = 0;
  ::off_t size = 0;
  long changed_s = 0;
  long changed_ns = 0;

  bool is_same_file(const Mark& other) const {
    return device == other.device && number == other.number;
  }
  bool is_there() const { return number != 0; }
  friend bool operator==(const Mark&, const Mark&) = default;
};

/// Of an open file.
Mark mark_of(int file);
/// Of what stands at a path; of nothing where nothing does.
Mark mark_at(const std::string& path);

}  // namespace limitr::store::file
