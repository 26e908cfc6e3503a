// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <limitr/options.h>
#include <limitr/result.h>
#include "open/stored.h"

namespace limitr {

/// What there is in a store that contradicts itself, and what it names as damaged.
struct StoreAudit {
  std::uint64_t customers = 0;
  std::uint64_t requests = 0;
  std::vector<AuditFinding> findings = {};
};
Result<StoreAudit> audit_store(StoredState& stored,
                               const std::function<Result<void>(std::uint64_t)>& progress);

}  // namespace limitr
