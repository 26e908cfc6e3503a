// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include <limitr/policy.h>
#include "policy/document.h"
#include "policy/policy.h"

namespace limitr::policy {

/// What became of a document.
struct Compiled {
  std::shared_ptr<const Policy> policy;  ///< Null where an issue is an error.
  std::vector<Issue> issues;             ///< Errors and warnings, in the order of the document.
};

/// Checks a document and compiles it, its names interned in `names`. All problems are reported,
/// not only the first. With `validate` false only what keeps it from being compiled at all is an
/// error (a field of the wrong type, a quantity that is none): what merely breaks a rule takes
/// its default, or is left out where it has none.
/// Pure but for `names`. spec: policy.md
Compiled compile(const Node& document, const std::shared_ptr<SymbolTable>& names, bool validate);

/// The first error among the issues as an Error (policy_invalid), for calls that report one.
Error first_error(const std::vector<Issue>& issues);

}  // namespace limitr::policy
