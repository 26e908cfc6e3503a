// SPDX-License-Identifier: Apache-2.0
#include "env/system_time.h"

namespace limitr {
namespace {

class SystemClock final : public Clock {
public:
  Timestamp now() const override { return env::system_time(); }
};

}  // namespace

std::shared_ptr<const Clock> system_clock() {
  static const auto clock = std::make_shared<const SystemClock>();
  return clock;
}

}  // namespace limitr
