// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "core/ids.h"
#include "policy/compile.h"

namespace limitr::core {

/// For tests only: a policy out of its text or document.
inline std::shared_ptr<const policy::Policy> policy_of(const Result<policy::Node>& document) {
  if (!document.ok()) throw std::invalid_argument(document.error().to_string());
  policy::Compiled compiled =
      policy::compile(*document, std::make_shared<SymbolTable>(), /*validate=*/true);
  if (!compiled.policy) throw std::invalid_argument(compiled.issues.at(0).to_string());
  return std::move(compiled.policy);
}
inline std::shared_ptr<const policy::Policy> policy_of(std::string_view yaml) {
  return policy_of(policy::parse_document(yaml, Format::yaml, {}));
}

/// For tests only: the IDs "n1", "n2", ...
class CountedIds final : public IdSource {
public:
  std::string next() override { return "n" + std::to_string(++last_); }

private:
  int last_ = 0;
};

}  // namespace limitr::core
