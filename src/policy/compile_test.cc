// SPDX-License-Identifier: Apache-2.0
#include "policy/compile.h"

#include <algorithm>
#include <stdexcept>

#include <gtest/gtest.h>

#include "base/test_vectors.h"

// spec: policy.md
namespace limitr::policy {
namespace {

Compiled compiled(std::string_view text, bool validate = true) {
  const Result<Node> node = parse_document(text, Format::yaml, {});
  if (!node.ok()) throw std::invalid_argument(node.error().to_string());
  return compile(*node, std::make_shared<SymbolTable>(), validate);
}

std::shared_ptr<const Policy> valid(std::string_view text, bool validate = true) {
  Compiled result = compiled(text, validate);
  for (const Issue& issue : result.issues) ADD_FAILURE() << issue.to_string();
  return result.policy;
}

std::vector<std::string> problems(std::string_view text) {
  std::vector<std::string> found;
  for (const Issue& issue : validate_policy(text, Format::yaml)) {
    found.push_back(issue.path + ": " + issue.message);
  }
  return found;
}

// The one issue of a policy with these fields in the limit, in the topup, in the credit.
std::string problem_of(const std::string& text) {
  const auto found = problems(text);
  EXPECT_EQ(found.size(), 1U) << ::testing::PrintToString(found);
  return found.empty() ? "valid" : found.front();
}
std::string with_limit(const std::string& fields, const std::string& units = "MB") {
  return "policy:\n  credits: {c: {stof_units: " + units +
         "}}\n  plans: {p: {entitlements: {e: {limit: {credit: c, " + fields + "}}}}}\n";
}
std::string with_topup(const std::string& fields, const std::string& units = "MB") {
  return "policy:\n  credits: {c: {stof_units: " + units +
         "}}\n  plans: {p: {topups: {t: {credit: c, " + fields + "}}}}\n";
}
std::string with_credit(const std::string& fields) {
  return "policy: {credits: {c: {" + fields + "}}}\n";
}
Limit limit_of(const std::string& fields, const std::string& units = "MB") {
  const auto policy = valid(with_limit(fields, units));
  return policy ? policy->plans.at(0).entitlements.at(0).limit.value() : Limit();
}
Topup topup_of(const std::string& fields, const std::string& units = "MB") {
  const auto policy = valid(with_topup(fields, units));
  return policy ? policy->plans.at(0).topups.at(0) : Topup();
}

bool begins(const std::string& text, std::string_view start) {
  EXPECT_TRUE(text.starts_with(start)) << text << "\n  does not begin with " << start;
  return text.starts_with(start);
}

// ------------------------------------------------------------------ against the reference engine

TEST(Validation, ReportsWhatTheReferenceEngineReports) {
  std::size_t rows = 0;
  for (const Json& row : read_vectors("validation.ndjson")) {
    SCOPED_TRACE(row.dump());
    for (const Format format : {Format::json, Format::yaml}) {
      const Error error = first_error(validate_policy(row["policy"].dump(), format));
      EXPECT_EQ(error.code, ErrorCode::policy_invalid);
      EXPECT_TRUE(error.where.starts_with(row["path"].get<std::string>())) << error.where;
      EXPECT_TRUE(error.where.ends_with(")")) << "line and column are missing: " << error.where;
      if (row["message"].is_null()) continue;
      EXPECT_NE(error.message.find(row["message"].get<std::string>()), std::string::npos)
          << error.message;
    }
    ++rows;
  }
  EXPECT_EQ(rows, 40U);
}

TEST(Validation, AcceptsEveryPolicyOfTheScenarios) {
  for (const char* theme :
       {"basic", "caps", "governor", "grants", "lifecycle", "margin", "mixed", "pricing", "reserve",
        "resets", "scope", "shared", "units", "voucher"}) {
    for (const Json& row : read_vectors(std::string("scenarios/") + theme + ".ndjson")) {
      SCOPED_TRACE(row["name"].dump());
      const Compiled result =
          compile(to_node(row["policy"], {}).value(), std::make_shared<SymbolTable>(), true);
      ASSERT_TRUE(result.policy) << result.issues.at(0).to_string();
      EXPECT_TRUE(result.issues.empty());
      EXPECT_EQ(result.policy->document, row["policy"]);
    }
  }
}

// ------------------------------------------------------------------ what is compiled

TEST(Compile, AnEmptyPolicyHasItsDefaults) {
  const auto policy = valid("policy: {}");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->grant_strategy, GrantStrategy::expires_first);
  EXPECT_EQ(policy->estimate_min_samples, 5U);
  EXPECT_EQ(policy->hold_ttl, Millis(600'000));
  EXPECT_EQ(policy->request_window, Millis(86'400'000));
  EXPECT_EQ(policy->request_limit, 1000U);
  EXPECT_EQ(policy->default_plan(), nullptr);
  ASSERT_EQ(policy->pairs.size(), 1U);
  EXPECT_EQ(policy->text(policy->pairs[0].name), "usd");
  EXPECT_EQ(policy->pairs[0].currency, policy->rune);
}

TEST(Compile, FieldsHaveTheirDefaults) {
  const auto policy = valid(
      "policy:\n  credits: {c: {}, n: }\n"
      "  plans: {p: {entitlements: {flag: , e: {limit: {credit: c}}}, topups: {t: {credit: c}}}}");
  ASSERT_TRUE(policy);
  const Credit& credit = *policy->credit("c");
  EXPECT_EQ(credit.unit, "credit");
  EXPECT_EQ(credit.label, "Credit");
  EXPECT_EQ(credit.description, "");
  EXPECT_FALSE(credit.resets);
  EXPECT_EQ(credit.overhead_cost, 0);
  EXPECT_EQ(credit.price.model, PricingModel::flat);
  EXPECT_FALSE(credit.price.priced());
  EXPECT_TRUE(credit.stof_units.is_float());
  ASSERT_TRUE(policy->credit("n"));

  const Plan& plan = *policy->plan("p");
  EXPECT_EQ(plan.label, "");
  EXPECT_FALSE(plan.is_default);
  EXPECT_FALSE(plan.hidden);
  EXPECT_EQ(plan.period, PlanPeriod::monthly);
  EXPECT_EQ(policy->text(plan.subscription), "subscription");
  EXPECT_FALSE(plan.trial_period);
  EXPECT_FALSE(plan.find("flag")->limit) << "no limit: a feature flag";
  EXPECT_EQ(plan.find("flag")->scope, Symbol::empty);

  const Limit& limit = plan.find("e")->limit.value();
  EXPECT_EQ(limit.credit, credit.name);
  EXPECT_EQ(limit.mode, Mode::hard);
  EXPECT_EQ(limit.value, 0);
  EXPECT_EQ(limit.increment, 1);
  EXPECT_EQ(limit.increment_text, "");
  EXPECT_FALSE(limit.minimum.has_value());
  EXPECT_FALSE(limit.hard_trailing);
  EXPECT_TRUE(limit.grants_apply);
  EXPECT_EQ(limit.reset, Reset());
  EXPECT_FALSE(limit.governor_enabled);
  EXPECT_EQ(limit.ewma_alpha, 0.2);

  const Topup& topup = *plan.find_topup(policy->names->find("t"));
  EXPECT_EQ(topup.value, 0);
  EXPECT_FALSE(topup.included);
  EXPECT_TRUE(topup.is_for(policy->names->intern("user")));
  EXPECT_EQ(topup.reset_mode, ResetMode::hard);
  EXPECT_FALSE(topup.max_balance.has_value());
  EXPECT_FALSE(topup.expires_after);
  EXPECT_FALSE(topup.reset_catchup_cap);
}

TEST(Compile, KeepsUnknownKeysInTheDocument) {
  const auto policy = valid("policy: {mine: [1], credits: {c: {stripe: {id: x}}}}");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->document,
            Json::parse(R"({"policy":{"mine":[1],"credits":{"c":{"stripe":{"id":"x"}}}}})"));
}

TEST(Compile, LimitAmountsAreInTheCreditsUnit) {
  const Limit limit = limit_of("value: 2GB, increment: 1.5 GB, minimum: -3MB");
  EXPECT_EQ(limit.value, 2000);
  EXPECT_EQ(limit.increment, 1.5) << "as written, its unit not applied";
  EXPECT_EQ(limit.increment_text, "1.5 GB");
  EXPECT_EQ(limit.increment_in(Unit::find("MB").value()).value(), 1500);
  EXPECT_EQ(*limit.minimum, -3);
  const Limit whole = limit_of("value: 5.9, increment: 2.5", "int");
  EXPECT_EQ(whole.value, 5);
  EXPECT_EQ(whole.increment, 2.5);
  EXPECT_EQ(whole.increment_in(Unit::find("int").value()).value(), 2);
}

TEST(Compile, LimitFields) {
  const Limit limit = limit_of(
      "mode: hard, hard_trailing: true, grants_apply: false, resets: true, reset_inc: 7days, "
      "governor_enabled: true, governor_capacity: 5, governor_refill_rate: 0.5, ewma_alpha: 1");
  EXPECT_TRUE(limit.hard_trailing);
  EXPECT_FALSE(limit.grants_apply);
  EXPECT_TRUE(limit.reset.resets);
  EXPECT_EQ(limit.reset.length(), Millis(604'800'000));
  EXPECT_TRUE(limit.has_governor());
  EXPECT_EQ(*limit.governor_capacity, 5);
  EXPECT_EQ(*limit.governor_refill_rate, 0.5);
  EXPECT_EQ(limit.ewma_alpha, 1);
  EXPECT_EQ(limit_of("resets: true").reset.length(), default_reset_inc);
  EXPECT_EQ(limit_of("resets: true, reset_sch: weekly:mon").reset.schedule.value().text(),
            "weekly:mon");
  EXPECT_EQ(limit_of("mode: observe").mode, Mode::observe);
}

TEST(Compile, TopupAmounts) {
  const Topup cut = topup_of("value: 5.9, rollover_min: 1.5, max_balance: 9.5", "int");
  EXPECT_EQ(cut.value, 5);
  EXPECT_EQ(cut.starting_value, 5.9) << "resets give what was written";
  EXPECT_EQ(*cut.rollover_min, 1.5);
  EXPECT_EQ(*cut.max_balance, 9.5);
  EXPECT_EQ(topup_of("value: '5.9'", "int").starting_value, 5.9);
  const Topup converted = topup_of("value: 2GB, rollover_max: 1GB, max_balance: 3 GB");
  EXPECT_EQ(converted.value, 2000);
  EXPECT_EQ(converted.starting_value, 2000);
  EXPECT_EQ(*converted.rollover_max, 1000);
  EXPECT_EQ(*converted.max_balance, 3000);
}

TEST(Compile, TopupFields) {
  const auto policy = valid(with_topup(
      "included: true, included_scopes: [org, team], resets: true, reset_sch: monthly:last, "
      "reset_mode: rollover, rollover_pct: 0.5, expires_after: 45days, reset_catchup_cap: 3"));
  ASSERT_TRUE(policy);
  const Topup& topup = policy->plans[0].topups[0];
  EXPECT_TRUE(topup.included);
  EXPECT_TRUE(topup.is_for(policy->names->find("team")));
  EXPECT_FALSE(topup.is_for(policy->names->intern("user")));
  EXPECT_EQ(topup.reset_mode, ResetMode::rollover);
  EXPECT_EQ(*topup.rollover_pct, 0.5);
  EXPECT_EQ(topup.expires_after, std::chrono::days(45));
  EXPECT_EQ(topup.reset_catchup_cap, 3U);
}

TEST(Compile, TiersAreSortedAndTheUnboundedOneIsLastAndOnce) {
  const auto policy = valid(with_credit(
      "pricing_model: tiered, tiers: [{up_to: null, price: {amount: 3}}, {up_to: 100, price: "
      "{amount: 2}}, {up_to: 10, price: {amount: 1}}, {price: {amount: 4}}]"));
  ASSERT_TRUE(policy);
  const PriceCurve& curve = policy->credits[0].price;
  EXPECT_EQ(curve.model, PricingModel::tiered);
  ASSERT_EQ(curve.bands.size(), 3U);
  EXPECT_EQ(curve.bands[0].after, 0);
  EXPECT_EQ(curve.bands[0].up_to, 10);
  EXPECT_EQ(curve.bands[1].after, 10);
  EXPECT_EQ(curve.bands[1].amount, 2);
  EXPECT_EQ(curve.bands[2].after, 100);
  EXPECT_EQ(curve.bands[2].amount, 3) << "the first of the unbounded ones";
  EXPECT_GT(curve.bands[2].up_to, 1e300);
}

TEST(Compile, ExchangePairsAndTheirPaths) {
  const auto policy = valid(
      "policy:\n  credits: {tok: {price: {amount: 2}}, free: {}}\n"
      "  exchange: {grant_strategy: cheapest_first, eur: {value: 1.25}, cent: {value: 0.01, "
      "currency: eur}, pack: {value: 10, currency: tok}, usd: {value: 2, currency: rune}}\n");
  ASSERT_TRUE(policy);
  const auto path = [&](std::string_view name) { return policy->path(policy->names->find(name)); };
  EXPECT_EQ(policy->grant_strategy, GrantStrategy::cheapest_first);
  EXPECT_EQ(path("rune")->factor, 1);
  EXPECT_EQ(path("usd")->factor, 2) << "the document overrides what is built in";
  EXPECT_EQ(path("eur")->factor, 2.5);
  EXPECT_DOUBLE_EQ(path("cent")->factor, 0.025);
  EXPECT_EQ(path("pack")->factor, 10);
  EXPECT_EQ(path("pack")->credit, policy->credit("tok"));
  EXPECT_EQ(path("tok")->credit, policy->credit("tok"));
  EXPECT_FALSE(path("free")) << "a dead end";
  EXPECT_FALSE(path("nothing"));
  EXPECT_TRUE(policy->is_currency(policy->rune));
  EXPECT_TRUE(policy->is_currency(policy->names->find("cent")));
  EXPECT_FALSE(policy->is_currency(policy->names->intern("nothing")));

  std::vector<double> rates(policy->pairs.size(), 3);
  EXPECT_EQ(policy->path(policy->names->find("cent"), rates)->factor, 27);
}

TEST(Compile, APairWinsOverTheCreditsOwnPrice) {
  const auto policy = valid(
      "policy: {credits: {tok: {price: {amount: 2}}}, exchange: {tok: {value: 5, currency: "
      "rune}}}");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->path(policy->names->find("tok"))->factor, 5);
  EXPECT_EQ(policy->path(policy->names->find("tok"))->credit, nullptr);
}

TEST(Compile, LoopsHaveNoPathEvenUnvalidated) {
  const auto policy =
      valid("policy: {exchange: {a: {currency: b}, b: {currency: a}, c: {currency: a}}}", false);
  ASSERT_TRUE(policy);
  for (const char* name : {"a", "b", "c"}) EXPECT_FALSE(policy->path(policy->names->find(name)));
}

TEST(Compile, TheFirstDefaultPlanWins) {
  const auto policy = valid("policy: {plans: {a: {}, b: {default: true}, c: {default: true}}}");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->default_plan(), policy->plan("b"));
  EXPECT_EQ(policy->plan("nothing"), nullptr);
  EXPECT_EQ(policy->plan("rune"), nullptr) << "a name that is something else";
}

TEST(Compile, HostFunctionsAreNamedOnce) {
  const auto policy = valid(
      "policy: {credits: {c: {overhead_fn: cost}, d: {overhead_fn: cost}}, exchange: {eur: "
      "{value_fn: rate}}, notifications: {low: {events: [meter-changed], fn: is_low}}}");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->host_functions, (std::vector<std::string>{"cost", "rate", "is_low"}));
  EXPECT_EQ(policy->credit("c")->overhead_fn, "cost");
  EXPECT_EQ(policy->pair(policy->names->find("eur"))->value_fn, "rate");
  EXPECT_EQ(policy->notifications.at(0).fn, "is_low");
}

// ------------------------------------------------------------------ what is refused

TEST(Validation, KnownKeysOfTheWrongTypeAreRefused) {
  struct Case {
    const char* text;
    const char* problem;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"policy: []", "policy: `policy` must be a mapping, not a list"},
           {"policy:", "policy: `policy` must be a mapping, not nothing"},
           {"policy: {credits: 5}", "policy.credits: `credits` must be a mapping, not a number"},
           {"policy: {credits: {c: []}}", "policy.credits.c: `c` must be a mapping, not a list"},
           {"policy: {credits: {c: {label: 5}}}",
            "policy.credits.c.label: `label` must be text, not a number"},
           {"policy: {credits: {c: {resets: 'true'}}}",
            "policy.credits.c.resets: `resets` must be true or false, not text"},
           {"policy: {credits: {c: {overhead_cost: '1'}}}",
            "policy.credits.c.overhead_cost: `overhead_cost` must be a number, not text"},
           {"policy: {credits: {c: {price: 5}}}",
            "policy.credits.c.price: `price` must be a mapping, not a number"},
           {"policy: {credits: {c: {tiers: {}}}}",
            "policy.credits.c.tiers: `tiers` must be a list, not a mapping"},
           {"policy: {exchange: {eur: 1}}",
            "policy.exchange.eur: `eur` must be a mapping, not a number"},
           {"policy: {plans: {p: {topups: []}}}",
            "policy.plans.p.topups: `topups` must be a mapping, not a list"},
           {"policy: {plans: {p: {entitlements: {e: {renamed_from: x}}}}}",
            "policy.plans.p.entitlements.e.renamed_from: `renamed_from` must be a list, not text"},
           {"policy: {plans: {p: {entitlements: {e: {renamed_from: [1]}}}}}",
            "policy.plans.p.entitlements.e.renamed_from[0]: `renamed_from` must be a list of text"},
           {"policy: {plans: {p: {trial_period: []}}}",
            "policy.plans.p.trial_period: `trial_period` must be a number or text"},
           {"policy: {plans: {'': {}}}", "policy.plans.: a name cannot be empty"},
           {"policy: {hold_ttl: soon}",
            "policy.hold_ttl: `hold_ttl` is no duration: \"soon\" is not a number"},
           {"policy: {notifications: {n: {events: [meter-changed], condition: 5}}}",
            "policy.notifications.n.condition: `condition` must be text"},
           {"[]", ": the document must be a mapping with the key `policy`, not a list"},
           {"{}", "policy: the document has no key `policy`"}}) {
    SCOPED_TRACE(c.text);
    begins(problem_of(c.text), c.problem);
    EXPECT_FALSE(compiled(c.text, false).policy) << "the type counts without validation too";
  }
}

TEST(Validation, RulesOfLimits) {
  const std::string at = "policy.plans.p.entitlements.e.limit.";
  begins(problem_of(with_limit("value: 5s")),
         at + "value: Cannot use \"5s\" as a limit value - not a valid number/units: \"5s\" cannot "
              "be converted to MB");
  begins(problem_of(with_limit("value: 5MB", "float")), at + "value: Cannot use \"5MB\"");
  begins(problem_of(with_limit("value: true")), at + "value: `value` must be a number or text");
  begins(problem_of(with_limit("reset_inc: 0.2")),
         at + "reset_inc: Limit reset increment value must be greater than zero");
  begins(problem_of(with_limit("reset_sch: 'monthly:banana'")),
         at + "reset_sch: Invalid reset schedule 'monthly:banana'");
  begins(problem_of(with_limit("reset_sch: 'weekly:'")),
         at + "reset_sch: Invalid reset schedule 'weekly:'");
  begins(problem_of(
             with_limit("governor_enabled: true, governor_capacity: 0, governor_refill_rate: 1")),
         at + "governor_capacity: Limit governor_capacity must be greater than zero");
  begins(problem_of(with_limit("governor_capacity: 1, governor_refill_rate: -1")),
         at + "governor_refill_rate: Limit governor_refill_rate cannot be negative");
  begins(problem_of(with_limit("mode: observe, hard_trailing: true")), at + "hard_trailing: ");
  begins(problem_of("policy: {plans: {p: {entitlements: {e: {limit: {value: 5}}}}}}"),
         at + "credit: a credit must be named");
}

TEST(Validation, RulesOfTopups) {
  const std::string at = "policy.plans.p.topups.t.";
  begins(problem_of(with_topup("value: -0.5", "int")), at + "value: Top-up value must be positive");
  begins(problem_of(with_topup("rollover_min: -1")),
         at + "rollover_min: Top-up value must be positive");
  begins(problem_of(with_topup("rollover_pct: 0")),
         at + "rollover_pct: Top-up rollover multiplier");
  begins(problem_of(with_topup("reset_catchup_cap: 0")),
         at + "reset_catchup_cap: Top-up reset period");
  begins(problem_of(with_topup("reset_catchup_cap: 1.5")),
         at + "reset_catchup_cap: Top-up reset period");
  begins(problem_of(with_topup("expires_after: 0")), at + "expires_after: Top-up expiration value");
  begins(problem_of(with_topup("reset_inc: -1day")),
         at + "reset_inc: Top-up reset increment value");
  begins(problem_of(with_topup("price: {amount: -1}")),
         at + "price.amount: A price cannot have a negative amount");
}

TEST(Validation, RulesOfCredits) {
  const std::string at = "policy.credits.c.";
  begins(problem_of(with_credit("price: {}")), at + "price.amount: a price requires an amount");
  begins(problem_of(with_credit(
             "pricing_model: volume, price: {amount: 1}, tiers: [{price: {amount: 1}}]")),
         at + "price: A 'volume' credit pricing model requires 'price' to be null");
  begins(problem_of(with_credit("pricing_model: volume, tiers: [{up_to: null}]")),
         at + "tiers[0].price: a price tier requires a price");
  begins(
      problem_of(with_credit(
          "pricing_model: tiered, tiers: [{price: {amount: 1}}, {up_to: x, price: {amount: 1}}]")),
      at + "tiers[1].up_to: `up_to` must be a number");
}

TEST(Validation, RulesOfPlans) {
  begins(problem_of("policy: {plans: {p: {trial_period: 1day, subscription: seat, entitlements: "
                    "{subscription: {}}}}}"),
         "policy.plans.p.trial_period: Plan trial_period requires the plan's subscription "
         "entitlement \"seat\"");
  valid("policy: {plans: {p: {trial_period: 1day, subscription: seat, entitlements: {seat: {}}}}}");
  begins(problem_of("policy: {plans: {p: {period: hourly}}}"),
         "policy.plans.p.period: Plan period cannot be \"hourly\" - only 'monthly'");
  begins(problem_of("policy: {plans: {p: {entitlements: {a: {renamed_from: [x, b]}, b: {}}}}}"),
         "policy.plans.p.entitlements.a.renamed_from[1]: `renamed_from` names \"b\"");
  valid(
      "policy: {plans: {p: {entitlements: {a: {renamed_from: [b]}}}, q: {entitlements: {b: {}}}}}");
}

TEST(Validation, RulesOfTheRest) {
  struct Case {
    const char* text;
    const char* problem;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"policy: {}\nextra: 1", "extra: the root of the document holds one key"},
           {"policy: {hold_ttl: 0}", "policy.hold_ttl: hold_ttl must be greater than zero"},
           {"policy: {request_window: -1day}", "policy.request_window: request_window must be"},
           {"policy: {request_limit: 0}", "policy.request_limit: request_limit must be a whole"},
           {"policy: {estimate_min_samples: 1.5}",
            "policy.estimate_min_samples: estimate_min_samples"},
           {"policy: {estimate_min_samples: 1e10}",
            "policy.estimate_min_samples: estimate_min_samples"},
           {"policy: {exchange: {rune: {}}}", "policy.exchange.rune: `rune` is the base"},
           {"policy: {exchange: {usd: {}}}",
            "policy.exchange.usd: Credit \"usd\" exchange \"usd\""},
           {"policy: {credits: {c: {}}, exchange: {eur: {currency: c}}}",
            "policy.exchange.eur: Credit \"eur\" exchange \"c\""},
           {"policy: {notifications: {n: {events: [meter-changed, meter-x]}}}",
            "policy.notifications.n.events[1]: there is no event \"meter-x\" - only meter-changed"},
           {"policy: {plans: {p: {}}, customers: {ann: {plan: q}}}",
            "policy.customers.ann.plan: A plan named \"q\""},
           {"policy: {customers: {ann: {id: bob}}}", "policy.customers.ann.id: the customer's id"},
           {"policy: {customers: {ann: 5}}", "policy.customers.ann: `ann` must be a mapping"}}) {
    SCOPED_TRACE(c.text);
    begins(problem_of(c.text), c.problem);
  }
  valid("policy: {plans: {p: {}}, customers: {ann: {plan: p, id: ann}, bob: {plan: ''}}}");
}

TEST(Validation, ReportsAllProblemsInTheOrderOfTheDocument) {
  const auto found = problems(
      "policy:\n"
      "  plans:\n"
      "    p:\n"
      "      period: hourly\n"
      "      entitlements: {e: {limit: {credit: x, ewma_alpha: 2, mode: y}}}\n"
      "  exchange: {eur: {currency: gbp, value: -1}}\n"
      "  credits: {c: {overhead_cost: -1, stof_units: parsecs}}\n");
  std::vector<std::string> paths;
  for (const std::string& problem : found) paths.push_back(problem.substr(0, problem.find(':')));
  EXPECT_EQ(paths, (std::vector<std::string>{
                       "policy.plans.p.period", "policy.plans.p.entitlements.e.limit.credit",
                       "policy.plans.p.entitlements.e.limit.ewma_alpha",
                       "policy.plans.p.entitlements.e.limit.mode", "policy.exchange.eur",
                       "policy.exchange.eur.value", "policy.credits.c.overhead_cost",
                       "policy.credits.c.stof_units"}));
}

TEST(Validation, ConditionsAndFunctionsAreWarnedOf) {
  const Compiled result = compiled(
      "policy: {notifications: {low: {events: [meter-changed], condition: 'x < 1'}, none: {}}}");
  ASSERT_TRUE(result.policy);
  ASSERT_EQ(result.issues.size(), 2U);
  EXPECT_EQ(result.issues[0].severity, Issue::Severity::warning);
  EXPECT_EQ(result.issues[0].path, "policy.notifications.low.condition");
  EXPECT_EQ(result.issues[1].path, "policy.notifications.none.events");
  EXPECT_EQ(result.policy->notifications.at(0).condition, "x < 1");
}

TEST(Validation, AListedCustomersAlternateIdsAreItsOwn) {
  begins(problem_of("policy: {customers: {ann: {alt_ids: [a, bob]}, bob: {alt_ids: [b]}}}"),
         "policy.customers.ann.alt_ids[1]: the ID \"bob\" belongs to customer \"bob\" already");
  begins(problem_of("policy: {customers: {ann: {alt_ids: [a]}, bob: {alt_ids: [a]}}}"),
         "policy.customers.bob.alt_ids[0]: the ID \"a\" belongs to customer \"ann\" already");
  begins(problem_of("policy: {customers: {ann: {alt_ids: a}}}"),
         "policy.customers.ann.alt_ids: `alt_ids` must be a list");
  valid("policy: {customers: {ann: {alt_ids: [a, a, ann]}, bob: {alt_ids: [b]}}}");
}

// The one issue of a policy that is valid all the same.
Issue warning_of(const std::string& text) {
  const Compiled result = compiled(text);
  EXPECT_TRUE(result.policy) << "warnings keep no policy out";
  EXPECT_EQ(result.issues.size(), 1U) << text;
  if (result.issues.empty()) return {};
  EXPECT_EQ(result.issues[0].severity, Issue::Severity::warning);
  return result.issues[0];
}

TEST(Validation, TiersThatNothingUsesAreWarnedOf) {
  const std::string tiers = "tiers: [{price: {amount: 1}}]";
  const Issue issue = warning_of(with_credit(tiers));
  EXPECT_EQ(issue.to_string(),
            "1:24: policy.credits.c.tiers: `tiers` are not used by the flat pricing model: set "
            "`pricing_model`");
  EXPECT_EQ(warning_of(with_credit("price: {amount: 2}, " + tiers)).path, issue.path);
  valid(with_credit("price: {amount: 2}, tiers: []"));
  begins(problem_of(with_credit("pricing_model: auction, " + tiers)),
         "policy.credits.c.pricing_model: 'auction' is not");
}

TEST(Validation, NotificationsNamedLikeEventsAreWarnedOf) {
  EXPECT_EQ(warning_of("policy:\n  notifications:\n    meter-limit: {events: [meter-changed]}\n")
                .to_string(),
            "3:5: policy.notifications.meter-limit: \"meter-limit\" is an event's own name: "
            "handlers cannot tell what this notification sends from the event");
}

TEST(Validation, KeysThatLookLikeOneThatIsMissingAreWarnedOf) {
  EXPECT_EQ(warning_of("policy:\n  plans:\n    p:\n      entitlements:\n        e:\n"
                       "          limit:\n            credit: c\n            valeu: 5\n"
                       "  credits: {c: {}}\n")
                .to_string(),
            "8:13: policy.plans.p.entitlements.e.limit.valeu: unknown key `valeu`: did you mean "
            "`value`?");
  struct Case {
    const char* text;
    const char* path;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"policy: {credit: {}}", "policy.credit"},
           {"policy: {credits: {c: {overhed_cost: 1}}}", "policy.credits.c.overhed_cost"},
           {"policy: {credits: {c: {price: {amount: 1, idd: x}}}}", "policy.credits.c.price.idd"},
           {"policy: {credits: {c: {pricing_model: tiered, tiers: [{upto: 5, price: {amount: "
            "1}}]}}}",
            "policy.credits.c.tiers[0].upto"},
           {"policy: {exchange: {eur: {valu: 2}}}", "policy.exchange.eur.valu"},
           {"policy: {plans: {p: {defualt: true}}}", "policy.plans.p.defualt"},
           {"policy: {plans: {p: {entitlements: {e: {limits: {credit: c}}}}}}",
            "policy.plans.p.entitlements.e.limits"},
           {"policy: {credits: {c: {}}, plans: {p: {topups: {t: {credit: c, include: true}}}}}",
            "policy.plans.p.topups.t.include"},
           {"policy: {notifications: {n: {events: [meter-changed], fm: x}}}",
            "policy.notifications.n.fm"},
           {"policy: {customers: {ann: {alt_id: [a]}}}", "policy.customers.ann.alt_id"}}) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(warning_of(c.text).path, c.path);
  }
}

TEST(Validation, YourOwnKeysAreNobodysBusiness) {
  valid("policy: {mine: 1, credits: {c: {stripe: x, names: []}}}");
  valid(with_limit("value: 5, valeu: 6"));  // Nothing is missing.
  valid(with_limit("level: 5, valid: true"));
}

TEST(Validation, AnAmountIsLookedAtWithoutItsCreditToo) {
  const auto found = problems(
      "policy: {plans: {p: {entitlements: {e: {limit: {credit: x, value: 5 parsecs, minimum: "
      "2GB}}}, topups: {t: {credit: x, value: -1}}}}}");
  ASSERT_EQ(found.size(), 4U) << ::testing::PrintToString(found);
  begins(found[0], "policy.plans.p.entitlements.e.limit.credit: A credit named \"x\"");
  begins(found[1], "policy.plans.p.entitlements.e.limit.value: Cannot use \"5 parsecs\"");
  begins(found[2], "policy.plans.p.topups.t.credit: A credit named \"x\"");
  begins(found[3], "policy.plans.p.topups.t.value: Top-up value must be positive");
}

TEST(Validation, AllDuplicateKeysAndNumbersThatAreNoneAreListed) {
  std::vector<std::string> found;
  for (const Issue& issue :
       validate_policy("policy:\n  hold_ttl: .nan\n  credits:\n    c: {}\n    c: {price: {amount: "
                       ".inf}}\n  hold_ttl: [1, .nan]\n  x: [\n",
                       Format::yaml)) {
    found.push_back(issue.to_string());
  }
  ASSERT_EQ(found.size(), 5U) << ::testing::PrintToString(found);
  EXPECT_EQ(found[0], "2:13: policy.hold_ttl: `.nan` is not a finite number");
  EXPECT_EQ(found[1], "5:5: policy.credits.c: the key `c` is there twice");
  EXPECT_EQ(found[2], "5:25: policy.credits.c.price.amount: `.inf` is not a finite number");
  EXPECT_EQ(found[3], "6:17: policy.hold_ttl[1]: `.nan` is not a finite number");
  EXPECT_EQ(found[4].substr(0, 2), "8:") << "and what keeps the rest from being read: " << found[4];
}

TEST(Validation, IssuesHaveTheirPlace) {
  const auto issues = validate_policy("policy:\n  hold_ttl: 0\n", Format::yaml);
  ASSERT_EQ(issues.size(), 1U);
  EXPECT_EQ(issues[0].to_string(), "2:13: policy.hold_ttl: hold_ttl must be greater than zero");
  EXPECT_EQ(first_error(issues).where, "policy.hold_ttl (2:13)");
  const auto syntax = validate_policy("policy:\n  [", Format::yaml);
  ASSERT_EQ(syntax.size(), 1U);
  EXPECT_EQ(syntax[0].line, 3U);
  EXPECT_EQ(syntax[0].severity, Issue::Severity::error);
}

TEST(Validation, HostileNamesAndCountsStayBounded) {
  std::string text =
      "policy:\n plans:\n  ? \"" + std::string(1'000'000, 'p') + "\"\n  : entitlements:\n";
  for (int i = 0; i < 5000; ++i) text += "     e" + std::to_string(i) + ": 5\n";
  const auto issues = validate_policy(text, Format::yaml);
  ASSERT_EQ(issues.size(), 1001U);
  EXPECT_LT(issues[0].path.size(), 300U);
  EXPECT_EQ(issues.back().message, "4000 more problems are not listed");
}

TEST(Validation, HostileFlawsStayBounded) {
  std::string text = "policy:\n x:\n";
  for (int i = 0; i < 5000; ++i) text += " - {a: .nan}\n";
  EXPECT_EQ(validate_policy(text, Format::yaml).size(), 1001U);
}

TEST(Validation, LongExchangeChainsAreFollowedOnce) {
  std::string text = "policy:\n  exchange:\n";
  for (int i = 0; i < 100'000; ++i) {
    text += "    c" + std::to_string(i) + ": {currency: c" + std::to_string(i + 1) + "}\n";
  }
  EXPECT_EQ(validate_policy(text, Format::yaml).size(), 1001U);
  EXPECT_TRUE(validate_policy(text + "    c100000: {}\n", Format::yaml).empty());
}

TEST(Unvalidated, WhatBreaksARuleTakesItsDefaultOrIsLeftOut) {
  const auto policy = valid(
      "policy:\n"
      "  credits: {c: {overhead_cost: -1, stof_units: parsecs, pricing_model: auction}, d: "
      "{pricing_model: tiered, tiers: [{up_to: 5, price: {amount: 1}}]}}\n"
      "  exchange: {rune: {}, eur: {value: -1}, x: {currency: ''}}\n"
      "  plans: {p: {period: hourly, trial_period: 1day, entitlements: {gone: {limit: {credit: "
      "nope}}, e: {limit: {credit: c, mode: y, ewma_alpha: 7, hard_trailing: true, reset_inc: -1, "
      "governor_enabled: true}}}, topups: {gone: {credit: nope}, t: {credit: c, value: -1, "
      "reset_mode: z, rollover_pct: -1}}}}\n"
      "extra: 1\n",
      false);
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->credit("c")->overhead_cost, 0);
  EXPECT_TRUE(policy->credit("c")->stof_units.is_float());
  EXPECT_GT(policy->credit("d")->price.bands.at(0).up_to, 1e300);
  EXPECT_EQ(policy->pairs.size(), 2U);
  EXPECT_EQ(policy->pair(policy->names->find("eur"))->value, 1);
  const Plan& plan = *policy->plan("p");
  EXPECT_EQ(plan.period, PlanPeriod::monthly);
  EXPECT_FALSE(plan.trial_period);
  EXPECT_EQ(plan.find("gone"), nullptr) << "without its limit it would be free for everybody";
  const Limit& limit = plan.find("e")->limit.value();
  EXPECT_EQ(limit.mode, Mode::hard);
  EXPECT_EQ(limit.ewma_alpha, 0.2);
  EXPECT_FALSE(limit.reset.inc);
  EXPECT_FALSE(limit.governor_enabled);
  ASSERT_EQ(plan.topups.size(), 1U);
  EXPECT_EQ(plan.topups[0].value, 0);
  EXPECT_EQ(plan.topups[0].reset_mode, ResetMode::hard);
}

}  // namespace
}  // namespace limitr::policy
