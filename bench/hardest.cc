// SPDX-License-Identifier: Apache-2.0
// Question: what does a call cost in which everything happens at once? Each one begins a new
// period of meter, cap and grants; is metered two refs away; moves a cap shared from there; draws
// one grant empty and a second one in part, both in other credits than the meter's; is priced
// across a tier boundary; and sends its events to a handler.

#include <atomic>
#include <cmath>

#include "benches.h"

#include <limitr/limitr.h>

namespace limitr::bench {

namespace {

// Each call uses 150 tokens of 100 included ones, so 50 are to be covered by grants. They cost
// 30 * 0.001 + 20 * 0.0005 = 0.04 runes: the bonus' 2 * 0.01 buy the first 20, the gift the rest.
// The overhead is there because a call that leaves the meter where it stood, as each of these
// does, otherwise sends no event.
constexpr std::string_view policy = R"(policy:
  credits:
    token:
      overhead_cost: 0.0002
      pricing_model: tiered
      tiers:
        - { up_to: 30, price: { amount: 0.001 } }
        - { up_to: null, price: { amount: 0.0005 } }
    bonus: { price: { amount: 0.01 } }
    gift: { price: { amount: 0.02 } }
  exchange: { grant_strategy: cheapest_first }
  plans:
    pro:
      default: true
      entitlements:
        chat:
          scope: org
          limit: { credit: token, mode: hard, value: 100, resets: true, reset_inc: 1day }
      topups:
        bonus:
          { credit: bonus, value: 2, included: true, included_scopes: [org],
            resets: true, reset_inc: 1day, reset_mode: hard }
        gift:
          { credit: gift, value: 1000, included: true, included_scopes: [org],
            resets: true, reset_inc: 1day, reset_mode: hard }
)";
constexpr double units = 150;
constexpr double covered_by_grants = 50;
constexpr double price = 0.04;

// The machine's clock, plus the days it was moved on: reading it costs what it costs in earnest.
class MovedClock final : public Clock {
public:
  Timestamp now() const override {
    return real_->now() + Millis(ahead_ms_.load(std::memory_order_relaxed));
  }
  // One past the boundary: a period still holds the moment that ends it.
  void next_day() { ahead_ms_ += std::chrono::milliseconds(std::chrono::days(1)).count() + 1; }

private:
  std::shared_ptr<const Clock> real_ = system_clock();
  std::atomic<std::int64_t> ahead_ms_ = 0;
};

Limitr open_with_org(const std::shared_ptr<const Clock>& clock) {
  Limitr limitr = required(Limitr::open(policy, {.clock = clock}));
  required(limitr.create_customer("acme", {.type = "org"}));
  required(limitr.create_customer("research",
                                  {.type = "team", .refs = std::vector<std::string>{"acme"}}));
  required(limitr.create_customer("ann",
                                  {.type = "user", .refs = std::vector<std::string>{"research"}}));
  required(limitr.add_customer_cap(
      "acme", 1e6, {.cap = "budget", .shared = true, .resets = true, .reset_inc = "1day"}));
  return limitr;
}

bool is_as_expected(const Result<Decision>& decision) {
  return decision.ok() && decision->allowed && decision->value == units &&
         std::fabs(decision->grant_value_applied.value_or(0) - covered_by_grants) < 1e-6 &&
         std::fabs(decision->price_diff.value_or(0) - price) < 1e-9;
}

}  // namespace

Row hardest(const Size& size, Checks& checks) {
  const auto clock = std::make_shared<MovedClock>();
  Limitr limitr = open_with_org(clock);
  std::uint64_t resets = 0;
  std::uint64_t changes = 0;
  std::uint64_t others = 0;
  limitr.add_handler("count", [&](const Event& event) {
    ++(event.type == "meter-reset" ? resets : event.type == "meter-changed" ? changes : others);
  });
  const std::size_t calls = size.of(20'000, 500);
  const auto ours = [&] {
    std::uint64_t right = 0;
    const Stopwatch watch;
    for (std::size_t i = 0; i < calls; ++i) {
      clock->next_day();
      right += is_as_expected(limitr.allow("ann", "chat", units)) ? 1U : 0U;
    }
    return Sample{watch.seconds() * 1e6 / static_cast<double>(calls), right};
  };
  const Figures figures = repeat(size.runs(), checks, calls, ours);

  const std::uint64_t all = calls * size.runs();
  checks.same("meter-reset events", resets, all);
  checks.same("meter-changed events", changes, all);
  checks.same<std::uint64_t>("other events", others, 0);
  const std::optional<Json> cap = required(limitr.customer_cap("acme", "budget"));
  // 100 included tokens at the first tier's rate count for a plain cap too.
  const double consumed = cap ? cap->value("meter_value", 0.0) : 0;
  checks.is_true("the shared cap holds one call", std::fabs(consumed - (0.1 + price)) < 1e-9);
  return {.name = "hardest",
          .value = figures.ours,
          .unit = "us",
          .lower_is_better = true,
          .comparator = std::nullopt,
          .ratio = std::nullopt,
          .goal = {Goal::Of::value, Goal::Op::at_most, 5},
          .runs = figures.runs};
}

}  // namespace limitr::bench
