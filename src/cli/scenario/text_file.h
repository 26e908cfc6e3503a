// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include <limitr/policy.h>
#include <limitr/result.h>
#include "env/descriptor.h"

namespace limitr::scenario {

/// What messages call a file: "-" is standard input.
std::string shown_name(const std::filesystem::path& file);

/// An error of what a file holds, with the file in front of its place.
Error in_file(Error error, const std::filesystem::path& file);

/// A file that is read piece by piece; "-" is standard input.
class TextFile {
public:
  /// Errors: io_failed.
  static Result<TextFile> open(const std::filesystem::path& file);

  /// Puts what comes next at the front of `room`, and returns how many bytes that is; 0 at the end.
  /// Errors: io_failed.
  Result<std::size_t> read(std::span<char> room) const;
  /// Waits that long for read() to have something at once, or an end; false: it has not.
  bool is_ready(std::chrono::milliseconds patience) const;
  /// How many bytes there are in all; 0: not known.
  std::uint64_t size() const { return size_; }

private:
  TextFile(env::Descriptor in, std::filesystem::path name)
      : in_(std::move(in)), name_(std::move(name)) {}

  env::Descriptor in_;
  std::filesystem::path name_;
  std::uint64_t size_ = 0;
};

/// The whole of a file; "-" is standard input. A file that is larger than `max_bytes` is refused
/// without being read. Errors: io_failed, document_too_large.
Result<std::string> read_text_file(const std::filesystem::path& file, std::size_t max_bytes);

/// The same for a document, whose bound the commands have an option for.
Result<std::string> read_document(const std::filesystem::path& file, const DocumentBounds& bounds);

}  // namespace limitr::scenario
