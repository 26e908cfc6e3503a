// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include <limitr/result.h>

namespace limitr::scenario {

/// The whole of a file; "-" is standard input. A file that is larger than `max_bytes` is refused
/// without being read. Errors: io_failed, document_too_large.
Result<std::string> read_text_file(const std::filesystem::path& file, std::size_t max_bytes);

/// Puts `text` in place of a file in one step: after a crash at any moment the file is the old one
/// or the new one, never a part. Errors: io_failed; the old file is then still there.
Result<void> write_text_file(const std::filesystem::path& file, std::string_view text);

}  // namespace limitr::scenario
