// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <limitr/policy.h>
#include <limitr/result.h>

namespace limitr::cli {

struct PolicyFile {
  std::string text;
  Format format;
};

/// A policy named on the command line; "-" is standard input. One that is over the bound is refused
/// without being read. Errors: io_failed, document_too_large, with the file in front.
Result<PolicyFile> read_policy(const std::string& file, std::optional<Format> format,
                               const DocumentBounds& bounds);

}  // namespace limitr::cli
