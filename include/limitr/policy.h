// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/json.h>
#include <limitr/result.h>

namespace limitr {

enum class Format : std::uint8_t { yaml, json, toml };

/// What a policy document may cost to read. What is over a bound is refused with
/// ErrorCode::document_too_large, which names the bound. See docs/policy.md, Bounds.
struct DocumentBounds {
  std::size_t max_bytes = std::size_t{16} << 20U;
  std::size_t max_nodes = 1'000'000;
  std::size_t max_depth = 64;         ///< At most `deepest`, or every document is refused.
  std::size_t max_alias_factor = 10;  ///< Nodes that aliases may add, per node written.

  /// How deep a document can be: walking one takes under 4 kB of stack a level, under a sanitizer,
  /// and less than 1 kB without.
  static constexpr std::size_t deepest = 2'000;
};

/// One thing that is wrong, or worth a look, in a policy document.
struct Issue {
  enum class Severity : std::uint8_t { error, warning };

  Severity severity = Severity::error;
  std::string path = {};  ///< policy.plans.pro.entitlements.chat.limit.mode
  std::string message = {};
  std::uint32_t line = 0;  ///< From 1; 0 where the format does not tell.
  std::uint32_t column = 0;

  /// "path: message" with ":line:column" in front where known.
  std::string to_string() const;
};

/// Every problem of a policy document, errors and warnings, in the order of the document.
/// Empty: the policy is good. Of a text that cannot be read the issues are what keeps it from being
/// read: keys that are there twice and numbers that are not finite, or where its syntax breaks.
/// Threads: any. See docs/policy.md, Validation.
std::vector<Issue> validate_policy(std::string_view text, Format format,
                                   const DocumentBounds& bounds = {});

/// One place where two policies differ. A side without a value there has none.
struct Difference {
  enum class Kind : std::uint8_t { added, removed, changed };

  Kind kind = {};
  std::string path = {};
  std::optional<Json> before = {};
  std::optional<Json> after = {};
};

/// Where two policy documents differ, by path; lists are compared by value. Neither needs to be
/// valid, only readable. Errors: policy_invalid, document_too_large, invalid_argument (a bound that
/// cannot be). Threads: any.
Result<std::vector<Difference>> diff_policies(std::string_view before, Format before_format,
                                              std::string_view after, Format after_format,
                                              const DocumentBounds& bounds = {});

}  // namespace limitr
