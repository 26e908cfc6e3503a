// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include <limitr/result.h>

// Files that are the old one or the new one, never a part of one.
namespace limitr::env {

/// Puts `text` in place of a file in one step that survives a crash at any moment. A symbolic link
/// is followed, and stays. A file that is there keeps its mode, and its owner and group where this
/// process may give them; a new one is its owner's alone. Hard links keep the old content.
///
/// What is written stands beside the file, under its name and `.new`, until it is whole. Writers of
/// one file wait for each other; what one that was killed left behind, the next writes over.
///
/// Errors: io_failed. The file is then the old one, or the new one where only its folder could not
/// be synced. Threads: any; blocks.
Result<void> replace_file(const std::filesystem::path& file, std::string_view text);

/// replace_file() for a text that comes piece by piece. Until commit() has succeeded the file is
/// the old one; without it, nothing is left behind. Threads: one at a time; blocks.
class FileReplacement {
public:
  /// Errors: as replace_file().
  static Result<FileReplacement> begin(const std::filesystem::path& file);
  FileReplacement(FileReplacement&& other) noexcept;
  FileReplacement& operator=(FileReplacement&&) = delete;
  ~FileReplacement();

  /// Appends to the new text. Errors: io_failed; whoever gets one gives up.
  Result<void> write(std::string_view piece);
  /// Puts the new file in the place of the old one. Called once. Errors: as replace_file().
  Result<void> commit();

private:
  struct State;
  explicit FileReplacement(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;  // none: moved from
};

/// What replace_file() would refuse, as far as that is known beforehand: a device, FIFO, socket or
/// folder, or a file whose folder is missing or cannot be written. Errors: io_failed.
Result<void> check_replaceable(const std::filesystem::path& file);

}  // namespace limitr::env
