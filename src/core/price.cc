// SPDX-License-Identifier: Apache-2.0
#include "core/price.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/amount.h"

namespace limitr::core {
namespace {

using policy::Band;
using policy::PriceCurve;
using policy::PricingModel;

using Bands = std::vector<Band>;

// The band that position `n` falls in. A position that sums have brought within rounding of an edge
// is at the edge: an error in the last digit must not reprice all that came before it.
// spec: README.md, 1e-9 rule
Bands::const_iterator band_of(const Bands& bands, double n) {
  const auto found =
      std::lower_bound(bands.begin(), bands.end(), n,
                       [](const Band& band, double x) { return amount::less(band.up_to, x); });
  return found == bands.end() ? bands.end() - 1 : found;
}

double total(const PriceCurve& curve, double n) {
  if (curve.model == PricingModel::stairstep) {
    return amount::is_positive(n) ? band_of(curve.bands, n)->amount : 0;
  }
  return n * (amount::is_positive(n) ? *band_of(curve.bands, n) : curve.bands.front()).amount;
}

// Band by band, so that large totals lose no precision.
double tiered_price(const Bands& bands, double from, double to) {
  double sum = 0;
  for (auto band = bands.begin(); band != bands.end(); ++band) {
    const double low = band == bands.begin() ? from : std::max(from, band->after);
    const double high = std::min(to, band->up_to);
    if (high > low) sum += (high - low) * band->amount;
  }
  return sum;
}

// Walks the steps from `from`, paying each step's fee less what was paid before it.
double steps_for(const Bands& bands, double runes, double from) {
  double position = std::max(from, 0.0);
  double paid = 0;
  auto next = bands.begin();
  if (amount::is_positive(from)) {
    next = band_of(bands, from);
    paid = next->amount;
    position = next->up_to;
    ++next;
  }
  for (; next != bands.end() && position < std::numeric_limits<double>::infinity(); ++next) {
    const double fee = next->amount - paid;
    if (amount::less(runes, fee)) return position - from;
    runes -= fee;
    paid = next->amount;
    position = next->up_to;
  }
  return amount::unbounded;
}

// Walks the bands of a tiered or volume curve; entering a volume band reprices all so far.
double units_for(const PriceCurve& curve, double runes, double from) {
  double position = from;
  auto band = amount::is_positive(from) ? band_of(curve.bands, from) : curve.bands.begin();
  for (;;) {
    if (band->amount > 0) {
      const double affordable = runes / band->amount;
      if (position + affordable <= band->up_to) return position + affordable - from;
      runes -= (band->up_to - position) * band->amount;
    }
    position = band->up_to;
    const auto next = band + 1;
    if (next == curve.bands.end()) return amount::unbounded;
    if (curve.model == PricingModel::volume) {
      const double entry = position * (next->amount - band->amount);
      if (amount::less(runes, entry)) return position - from;
      runes -= entry;
    }
    band = next;
  }
}

}  // namespace

std::optional<double> price(const PriceCurve& curve, double units, double from) {
  if (!curve.priced()) return std::nullopt;
  switch (curve.model) {
    case PricingModel::flat: return units * *curve.amount;
    case PricingModel::tiered:
      return units < 0 ? -tiered_price(curve.bands, from + units, from)
                       : tiered_price(curve.bands, from, from + units);
    case PricingModel::volume:
    case PricingModel::stairstep: break;
  }
  return total(curve, from + units) - total(curve, from);
}

std::optional<double> quantity(const PriceCurve& curve, double runes, double from) {
  if (!curve.priced()) return std::nullopt;
  if (curve.model == PricingModel::flat) {
    if (*curve.amount == 0) return std::nullopt;
    return runes / *curve.amount;
  }
  if (curve.model == PricingModel::stairstep) {
    if (runes < 0) return std::nullopt;
    return steps_for(curve.bands, runes, from);
  }
  if (runes < 0) {
    const double rate = curve.bands.front().amount;
    if (rate == 0) return std::nullopt;
    return runes / rate;
  }
  return units_for(curve, runes, from);
}

}  // namespace limitr::core
