// SPDX-License-Identifier: Apache-2.0
#include "cli/policy_file.h"

#include <utility>

#include "cli/scenario/text_file.h"
#include "policy/document.h"

namespace limitr::cli {

Result<PolicyFile> read_policy(const std::string& file, std::optional<Format> format,
                               const DocumentBounds& bounds) {
  auto text = scenario::read_document(file, bounds);
  if (!text.ok()) return text.error();
  const Format by_name = policy::format_of(file).value_or(Format::yaml);
  return PolicyFile{std::move(*text), format.value_or(by_name)};
}

}  // namespace limitr::cli
