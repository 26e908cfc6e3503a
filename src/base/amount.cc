// SPDX-License-Identifier: Apache-2.0
#include "base/amount.h"

namespace limitr::amount {

double rounded_fraction(double x) {
  const double magnitude = std::fabs(x) * 1e9;
  if (!(magnitude < 1e24)) return x;
  return std::copysign(std::floor(magnitude + 0.5) / 1e9, x);
}

}  // namespace limitr::amount
