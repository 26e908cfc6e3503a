// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "call/time_text.h"
#include "cli/command.h"
#include "cli/store_commands.h"
#include "cli/terminal.h"

namespace limitr::cli {
namespace {

/// What a change came to: whether it was made, and what to say of it.
struct Made {
  bool is_made = false;
  std::string text;
};

/// Opens the store, makes the change, closes it, and says what became of it. `key` names the answer
/// in JSON.
template <typename Change>
int change(const ChangeWords& words, const char* key, const Change& make) {
  auto limitr = open_to_write(words.use);
  if (!limitr.ok()) return trouble(limitr.error().to_string());
  const Result<Made> made = make(*limitr);
  const auto closed = limitr->close();
  if (!made.ok()) return trouble(made.error().to_string());
  if (!closed.ok()) return trouble(closed.error().to_string());
  if (words.json) {
    std::string text;
    JsonWriter json(text);
    json.begin_object().field("customer", words.customer).field(key, made->is_made);
    if (!made->is_made) json.field("message", made->text);
    json.end_object();
    print("{}\n", text);
  } else {
    print("{}\n", made->text);
  }
  return made->is_made ? exit_fine : exit_negative;
}

/// Why a change found nothing to do: the customer is not there, or else `otherwise`.
Result<Made> not_made(Limitr& limitr, const ChangeWords& words, std::string otherwise) {
  const auto found = limitr.customer_refs(words.customer);
  if (!found.ok()) return found.error();
  if (!found->has_value()) otherwise = fmt::format("there is no customer `{}`", words.customer);
  return Made{.text = std::move(otherwise)};
}

/// The plan that the customer is on, by name; empty: none.
Result<std::string> plan_of(Limitr& limitr, const std::string& customer) {
  const auto record = limitr.customer(customer);
  if (!record.ok()) return record.error();
  if (!record->has_value()) return std::string();
  const std::string own = (*record)->value("plan", "");
  const auto plan = limitr.plan(own.empty() ? customer : own);
  if (!plan.ok()) return plan.error();
  return plan->has_value() ? (*plan)->value("name", "") : own;
}

}  // namespace

int create_customer(const ChangeWords& words) {
  return change(words, "created", [&](Limitr& limitr) -> Result<Made> {
    NewCustomer customer{.plan = words.plan, .type = words.type, .label = words.label};
    if (!words.refs.empty()) customer.refs = words.refs;
    customer.alts = words.alts;
    customer.metadata = words.metadata;
    customer.request = words.request;
    const Result<bool> created = limitr.ensure_customer(words.customer, customer);
    if (!created.ok()) return created.error();
    if (!*created) {
      return Made{.text = fmt::format("`{}` is there already, and stays as it is", words.customer)};
    }
    const Result<std::string> plan = plan_of(limitr, words.customer);
    if (!plan.ok()) return plan.error();
    return Made{true, fmt::format("created `{}` on plan `{}`", words.customer, *plan)};
  });
}

int delete_customer(const ChangeWords& words) {
  return change(words, "deleted", [&](Limitr& limitr) -> Result<Made> {
    const Result<bool> deleted = limitr.delete_customer(words.customer);
    if (!deleted.ok()) return deleted.error();
    if (!*deleted) return not_made(limitr, words, "nothing was deleted");
    return Made{true, fmt::format("deleted `{}`", words.customer)};
  });
}

int put_on_plan(const ChangeWords& words) {
  return change(words, "changed", [&](Limitr& limitr) -> Result<Made> {
    const Result<bool> changed =
        limitr.set_customer_plan(words.customer, words.plan, false, {.request = words.request});
    if (!changed.ok()) return changed.error();
    if (*changed)
      return Made{true, fmt::format("`{}` is on plan `{}` now", words.customer, words.plan)};
    const Json policy = limitr.policy();
    const bool is_plan = policy.at("policy").contains("plans") &&
                         policy.at("policy").at("plans").contains(words.plan);
    return not_made(limitr, words,
                    is_plan
                        ? fmt::format("`{}` is on plan `{}` already", words.customer, words.plan)
                        : fmt::format("the policy has no plan `{}`", words.plan));
  });
}

int apply_topup(const ChangeWords& words) {
  return change(words, "applied", [&](Limitr& limitr) -> Result<Made> {
    const Result<bool> applied =
        limitr.apply_customer_topup(words.customer, words.topup, {.request = words.request});
    if (!applied.ok()) return applied.error();
    if (*applied)
      return Made{true, fmt::format("`{}` has topup `{}` now", words.customer, words.topup)};
    const Result<std::string> plan = plan_of(limitr, words.customer);
    if (!plan.ok()) return plan.error();
    return not_made(limitr, words, fmt::format("plan `{}` has no topup `{}`", *plan, words.topup));
  });
}

int override_limit(const ChangeWords& words) {
  if (!words.remove && !words.value && words.mode.empty())
    return trouble("a limit of its own has a value or a mode: say which",
                   "Try `limitr help override`.");
  OverrideOptions options;
  if (words.value) options.value = Value(*words.value);
  if (!words.mode.empty()) options.mode = words.mode;
  options.request = words.request;
  if (!words.expires.empty()) {
    const auto expires = call::moment(words.expires, system_clock()->now());
    if (!expires.ok()) return trouble("--expires: " + expires.error().to_string());
    options.expires = *expires;
  }
  if (words.remove) {
    return change(words, "removed", [&](Limitr& limitr) -> Result<Made> {
      const Result<bool> removed = limitr.remove_customer_override(
          words.customer, words.entitlement, {.request = words.request});
      if (!removed.ok()) return removed.error();
      if (*removed) {
        return Made{true, fmt::format("`{}` has the plan's limit of `{}` again", words.customer,
                                      words.entitlement)};
      }
      return not_made(
          limitr, words,
          fmt::format("`{}` has no limit of its own for `{}`", words.customer, words.entitlement));
    });
  }
  return change(words, "overridden", [&](Limitr& limitr) -> Result<Made> {
    // Looking at the limit ends one that has expired: its expiry would be copied.
    const auto present = limitr.limit_object(words.customer, words.entitlement);
    if (!present.ok()) return present.error();
    const Result<bool> made =
        limitr.create_customer_override(words.customer, words.entitlement, options);
    if (!made.ok()) return made.error();
    if (*made) {
      return Made{true, fmt::format("`{}` has a limit of its own for `{}` now", words.customer,
                                    words.entitlement)};
    }
    return not_made(
        limitr, words,
        fmt::format("the plan of `{}` has no limit of `{}`", words.customer, words.entitlement));
  });
}

}  // namespace limitr::cli
