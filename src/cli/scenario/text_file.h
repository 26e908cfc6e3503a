// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include <limitr/policy.h>
#include <limitr/result.h>

namespace limitr::scenario {

/// What messages call a file: "-" is standard input.
std::string shown_name(const std::filesystem::path& file);

/// An error of what a file holds, with the file in front of its place.
Error in_file(Error error, const std::filesystem::path& file);

/// The whole of a file; "-" is standard input. A file that is larger than `max_bytes` is refused
/// without being read. Errors: io_failed, document_too_large.
Result<std::string> read_text_file(const std::filesystem::path& file, std::size_t max_bytes);

/// The same for a document, whose bound the commands have an option for.
Result<std::string> read_document(const std::filesystem::path& file, const DocumentBounds& bounds);

}  // namespace limitr::scenario
