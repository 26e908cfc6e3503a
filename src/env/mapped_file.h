// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>

#include <limitr/result.h>
#include "env/descriptor.h"

namespace limitr::env {

/// A file as memory, which no other MappedFile has at the same time. What is written to it is the
/// system's at once: it outlives the process, however that ends, and not the machine.
class MappedFile {
public:
  /// Opens a file, or makes an empty one that is its owner's alone. It stays where it is in memory,
  /// and can grow up to `max_bytes`. Errors: store_owned, where another has it; invalid_argument,
  /// where it is no file; data_corrupt, where it is larger than that; io_failed.
  static Result<MappedFile> open(const std::filesystem::path& path, std::size_t max_bytes);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  /// As many bytes as size() says may be touched.
  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  /// What is added is zero, and the disk has room for it. Errors: io_failed, and it is as it was.
  Result<void> resize(std::size_t size);
  /// Others may have it from now on; what is mapped stays so.
  void unlock();

private:
  MappedFile(std::filesystem::path path, Descriptor file, std::byte* data, std::size_t size,
             std::size_t max_bytes);

  std::filesystem::path path_;
  Descriptor file_;
  std::byte* data_;
  std::size_t size_;
  std::size_t max_bytes_;
};

}  // namespace limitr::env
