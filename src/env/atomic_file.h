// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
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

/// What replace_file() would refuse, as far as that is known beforehand: a device, FIFO, socket or
/// folder, or a file whose folder is missing or cannot be written. Errors: io_failed.
Result<void> check_replaceable(const std::filesystem::path& file);

}  // namespace limitr::env
