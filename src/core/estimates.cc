// SPDX-License-Identifier: Apache-2.0
#include "core/estimates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/json_writer.h"

namespace limitr::core {
namespace {

const Json* field_of(const Json* context, const std::string& name) {
  if (name.empty() || context == nullptr || !context->is_object()) return nullptr;
  const auto found = context->find(name);
  return found == context->end() || found->is_null() ? nullptr : &*found;
}

// Squares of large amounts are beyond a double, and what is not finite could not be saved.
double finite(double x) {
  constexpr double largest = std::numeric_limits<double>::max();
  return std::clamp(x, -largest, largest);
}

// A record takes no more, and more would tell nothing new.
constexpr std::uint64_t most_samples = 1'000'000'000'000'000;

void observe(double& mean, double& variance, double weight, double x) {
  const double diff = finite(finite(x) - mean);
  mean += weight * diff;
  variance = (1 - weight) * finite(variance + weight * diff * diff);
}

}  // namespace

Sample sample_of(const policy::Entitlement& entitlement, const Json* context,
                 std::optional<double> basis, const std::optional<std::string>& segment) {
  Sample sample;
  if (segment) {
    sample.segment = *segment;
  } else if (const Json* field = field_of(context, entitlement.estimate_segment)) {
    sample.segment = field->is_string() ? field->get<std::string>() : to_json_text(*field);
  }
  if (sample.segment.empty()) sample.segment = "all";
  for (char& c : sample.segment) {
    if (c == '.' || c == ' ') c = '_';
  }
  sample.per_basis = basis.has_value() || !entitlement.estimate_basis.empty();
  if (!basis) {
    const Json* field = field_of(context, entitlement.estimate_basis);
    if (field != nullptr && field->is_number()) basis = field->get<double>();
  }
  if (basis && std::isfinite(*basis) && *basis > 0) sample.basis = basis;
  return sample;
}

state::EstimateStats learn(const state::EstimateStats* known, const Sample& sample, double value,
                           double overhead, Timestamp now) {
  state::EstimateStats stats;
  if (known != nullptr && known->per_basis == sample.per_basis) stats = *known;
  stats.segment = sample.segment;
  stats.per_basis = sample.per_basis;
  if (stats.samples < most_samples) stats.samples += 1;
  stats.updated = now;
  const double scale = sample.per_basis ? sample.basis.value_or(1) : 1;
  const double weight = std::clamp(stats.alpha, 1 / static_cast<double>(stats.samples), 1.0);
  observe(stats.value_mean, stats.value_var, weight, value / scale);
  observe(stats.overhead_mean, stats.overhead_var, weight, overhead / scale);
  return stats;
}

state::EstimateStats merge(const state::EstimateStats& a, const state::EstimateStats& b) {
  if (a.per_basis != b.per_basis || a.samples == 0) return a.updated < b.updated ? b : a;
  state::EstimateStats sum = a;
  const std::uint64_t samples = a.samples + b.samples;
  sum.samples = std::min(samples, most_samples);
  sum.updated = std::max(a.updated, b.updated);
  const double share = static_cast<double>(b.samples) / static_cast<double>(samples);
  const auto mix = [&](double x, double y) { return (1 - share) * x + share * y; };
  // The variance of a mixture: what each varies by itself, and what their means lie apart.
  const auto mixed_variance = [&](double var_a, double var_b, double apart) {
    return finite(mix(var_a, var_b) + share * (1 - share) * finite(apart * apart));
  };
  sum.value_var = mixed_variance(a.value_var, b.value_var, a.value_mean - b.value_mean);
  sum.overhead_var =
      mixed_variance(a.overhead_var, b.overhead_var, a.overhead_mean - b.overhead_mean);
  sum.value_mean = mix(a.value_mean, b.value_mean);
  sum.overhead_mean = mix(a.overhead_mean, b.overhead_mean);
  return sum;
}

std::optional<Estimate> predict(const state::EstimateStats& stats, const Sample& sample,
                                double quantile) {
  if (stats.per_basis && !sample.basis) return std::nullopt;
  const double scale = stats.per_basis ? *sample.basis : 1;
  const double z = normal_quantile(quantile);
  const auto at = [&](double mean, double variance) {
    return amount::rounded(finite(std::max(0.0, mean + z * std::sqrt(variance)) * scale));
  };
  return Estimate{.value = at(stats.value_mean, stats.value_var),
                  .overhead = at(stats.overhead_mean, stats.overhead_var),
                  .samples = stats.samples,
                  .source = stats.source,
                  .scope = {}};
}

// The rational approximation of Abramowitz and Stegun, 26.2.23.
double normal_quantile(double q) {
  q = std::clamp(std::isnan(q) ? 0.5 : q, 0.0001, 0.9999);
  if (q == 0.5) return 0;
  const double t = std::sqrt(-2 * std::log(std::min(q, 1 - q)));
  const double above = 2.515517 + t * (0.802853 + t * 0.010328);
  const double below = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308));
  const double z = t - above / below;
  return q < 0.5 ? -z : z;
}

}  // namespace limitr::core
