// SPDX-License-Identifier: Apache-2.0
#include "core/exchange.h"

#include "base/amount.h"
#include "core/price.h"

namespace limitr::core {

std::optional<double> Exchange::to_runes(double units, Symbol name, double from) const {
  const auto path = this->path(name);
  if (!path) return std::nullopt;
  if (path->credit == nullptr) return path->factor * units;
  return price(path->credit->price, path->factor * units, path->factor * from);
}

std::optional<double> Exchange::from_runes(double runes, Symbol name, double from) const {
  const auto path = this->path(name);
  if (!path || path->factor == 0) return std::nullopt;
  if (path->credit == nullptr) return runes / path->factor;
  const auto units = quantity(path->credit->price, runes, path->factor * from);
  if (units && *units < amount::unbounded) return *units / path->factor;
  return units;
}

std::optional<double> Exchange::convert(double units, Symbol from, Symbol to) const {
  if (from == to) return units;
  const auto runes = to_runes(units, from);
  return runes ? from_runes(*runes, to) : std::nullopt;
}

}  // namespace limitr::core
