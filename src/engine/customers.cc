// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "core/customers.h"
#include "core/grants.h"
#include "engine/engine.h"
#include "engine/event_text.h"
#include "engine/given_text.h"
#include "state/record.h"

namespace limitr {

using engine::Engine;
using engine::Locked;
using engine::Once;
using engine::Slot;
using engine::wrong_object;
using engine::wrong_text;
using engine::wrong_texts;
using state::Customer;
using state::Family;

namespace {

// The draft of a customer that nobody knows yet.
Customer draft_of(std::string_view id, const NewCustomer& given, SymbolTable& names) {
  Customer draft;
  draft.id = id;
  draft.plan = given.plan.empty() ? Symbol::empty : names.intern(given.plan);
  draft.type = names.intern(given.type);
  if (given.label != "User") draft.own_rest().label = given.label;
  if (given.refs && !given.refs->empty()) draft.own_rest().refs = *given.refs;
  if (given.metadata && !given.metadata->is_null()) draft.own_rest().metadata = *given.metadata;
  return draft;
}

std::optional<Error> wrong_id(std::string_view id, std::string_view field) {
  if (!id.empty()) return wrong_text(id, field);
  return Error{
      .code = ErrorCode::invalid_argument,
      .message = field == "id" ? "a customer needs an ID" : "an alternate ID cannot be empty",
      .where = std::string(field)};
}

Result<void> check_new(std::string_view id, const NewCustomer& given) {
  if (auto wrong = wrong_id(id, "id")) return *std::move(wrong);
  if (auto wrong = engine::wrong_request(given.request)) return *std::move(wrong);
  for (const std::string& alt : given.alts) {
    if (auto wrong = wrong_id(alt, "alts")) return *std::move(wrong);
  }
  if (auto wrong = wrong_text(given.plan, "plan")) return *std::move(wrong);
  if (auto wrong = wrong_text(given.type, "type")) return *std::move(wrong);
  if (auto wrong = wrong_text(given.label, "label")) return *std::move(wrong);
  if (given.refs) {
    if (auto wrong = wrong_texts(*given.refs, "refs")) return *std::move(wrong);
  }
  if (given.metadata) {
    if (auto wrong = wrong_object(*given.metadata, "metadata")) return *std::move(wrong);
  }
  return {};
}

// Takes over those alternate IDs that are nobody else's; what there is to log of the others.
// REQUIRES: they are locked and known.
std::vector<std::string> take_alts(Engine& engine, Customer& draft,
                                   const std::vector<std::string>& alts) {
  std::vector<std::string> left_out;
  for (const std::string& alt : alts) {
    std::vector<std::string>& taken = draft.own_rest().alt_ids;
    const bool twice = std::find(taken.begin(), taken.end(), alt) != taken.end();
    if (twice || alt == draft.id) continue;
    if (const auto owner = engine.owner_of(alt)) {
      left_out.push_back(
          fmt::format("customer `{}` is made without the alternate ID `{}`, which "
                      "belongs to customer `{}`",
                      draft.id, alt, *owner));
    } else {
      taken.push_back(alt);
    }
  }
  return left_out;
}

enum class Created : bool { no, yes };

// Creates a customer; `no` when its ID is known by then.
Result<Created> create(Engine& engine, const Once& once, std::string_view id,
                       const NewCustomer& given) {
  if (auto valid = check_new(id, given); !valid.ok()) return std::move(valid).error();
  const Timestamp now = engine.now();
  Customer draft = draft_of(id, given, engine.names());
  Locked locked(engine);
  std::uint32_t before = 0;
  do {
    before = locked.times_let_go();
    if (!locked.know(given.alts) || !locked.find_refs_of(draft)) return locked.none(Created::no);
  } while (before != locked.times_let_go());
  const policy::Policy& policy = locked.policy();
  if (auto settled = core::settle_plan(policy, locked.family(), draft); !settled.ok()) {
    return std::move(settled).error();
  }
  core::begin(policy, locked.family(), draft, now, engine.ids());
  const std::vector<std::string> left_out = take_alts(engine, draft, given.alts);
  once.remember(locked, true);
  Slot& slot = engine.insert(std::move(draft));
  locked.take(slot);
  std::vector<Event> events;
  if (engine.dispatcher().has_handlers()) {
    events.push_back(engine::customer_set(slot.customer, engine.names(), now));
  }
  if (auto finished = engine.finish(locked, std::move(events)); !finished.ok()) {
    return std::move(finished).error();
  }
  for (const std::string& message : left_out) engine.log(message);
  return Created::yes;
}

// Puts a draft in its customer's place, and says so. True.
Result<bool> put_draft(Engine& engine, Locked& locked, Customer draft, Timestamp now) {
  auto kept = engine.put(locked, std::move(draft),
                         [&](const Customer& customer, std::vector<Event>& events) {
                           events.push_back(engine::customer_set(customer, engine.names(), now));
                         });
  if (!kept.ok()) return std::move(kept).error();
  return true;
}

// Puts plan, type, label, refs and metadata of a known customer as given. False: it is gone.
Result<bool> update(Engine& engine, const Once& once, std::string_view id,
                    const NewCustomer& given) {
  if (auto valid = check_new(id, given); !valid.ok()) return std::move(valid).error();
  const Timestamp now = engine.now();
  SymbolTable& names = engine.names();
  const auto as_given = [&](Customer& draft) {
    draft.plan = given.plan.empty() ? Symbol::empty : names.intern(given.plan);
    draft.type = names.intern(given.type);
    if (given.label != draft.more().label) draft.own_rest().label = given.label;
    if (given.refs) draft.own_rest().refs = *given.refs;
    if (given.metadata) draft.own_rest().metadata = *given.metadata;
  };
  Locked locked(engine);
  Customer draft;
  if (auto answer = once.answer<bool>(locked, locked.find_draft(id, draft, as_given))) {
    return *answer;
  }
  if (auto settled = core::settle_plan(locked.policy(), locked.family(), draft); !settled.ok()) {
    return std::move(settled).error();
  }
  once.remember(locked, true);
  return put_draft(engine, locked, std::move(draft), now);
}

// Locks the customer's shard and those of all its alternate IDs, and of `more`, and has whoever
// they lead to in memory; whether there is such a customer.
bool lock_with_alts(Locked& locked, std::string_view id, const std::vector<std::string>& more) {
  for (;;) {
    const std::uint32_t before = locked.times_let_go();
    if (!locked.know(more)) return false;
    const bool found = locked.find(id);
    // Copied: taking a lock may let go of the customer's own.
    if (found && !locked.know(std::vector(locked.slot().customer.more().alt_ids))) return false;
    if (locked.failure()) return false;
    if (before == locked.times_let_go()) return found;
  }
}

// Reads a record into the place of any customer of its ID. Refused where the ID, or an alternate
// ID of it, is another customer's. What is left to do goes to `rest`.
Result<Created> put_record(Engine& engine, Customer record, bool only_new, bool event,
                           Engine::Rest& rest) {
  const Timestamp now = engine.now();
  Locked locked(engine);
  const std::string id = record.id;
  lock_with_alts(locked, id, record.more().alt_ids);
  if (locked.failure()) return *locked.failure();
  const auto known = engine.owner_of(id);
  if (known && only_new) {
    rest = engine.let_go(locked, {});
    return Created::no;
  }
  if (known && *known != id) {
    return Error{.code = ErrorCode::alias_taken,
                 .message = fmt::format("`{}` is an alternate ID of customer `{}`", id, *known),
                 .where = "id"};
  }
  for (const std::string& alt : record.more().alt_ids) {
    const auto owner = engine.owner_of(alt);
    if (alt == id || (owner && *owner != id)) {
      return Error{.code = ErrorCode::alias_taken,
                   .message = fmt::format("alternate ID `{}` belongs to customer `{}`", alt,
                                          owner.value_or(id)),
                   .where = "alt_ids"};
    }
  }
  rest = engine.put_listed(locked, std::move(record),
                           [&](const Customer& put, std::vector<Event>& events) {
                             if (event)
                               events.push_back(engine::customer_set(put, engine.names(), now));
                           });
  return Created::yes;
}

// put_record(), and what is left to do. An event is sent.
Result<Created> set_record(Engine& engine, std::string_view record, bool only_new, bool event) {
  Result<Customer> read = state::read_customer(record, engine.names());
  if (!read.ok()) return std::move(read).error();
  Engine::Rest rest;
  Result<Created> put = put_record(engine, *std::move(read), only_new, event, rest);
  if (!put.ok()) return put;
  if (auto completed = engine.complete(std::move(rest)); !completed.ok()) {
    return std::move(completed).error();
  }
  return put;
}

Result<bool> ensure(Engine& engine, std::string_view id, const NewCustomer& customer) {
  const auto body = [&]() -> Result<bool> {
    const Once once(engine, customer.request, "ensure_customer", customer);
    for (;;) {
      {
        Locked locked(engine);
        if (locked.find(id)) {
          if (auto first = once.answer<bool>(locked, true)) return *first;
          return engine.answer(locked, false);
        }
        if (locked.failure()) return *locked.failure();
      }
      Result<Created> created = create(engine, once, id, customer);
      if (!created.ok()) return std::move(created).error();
      if (*created == Created::yes) return true;
    }
  };
  return engine.change(body, id);
}

// ensure(), where others share the customers: whoever is there is found without anybody giving it
// back.
Result<bool> find_or_make(Engine& engine, std::string_view id, const NewCustomer& customer) {
  if (!customer.request.empty()) return ensure(engine, id, customer);
  const auto find = [&]() -> Result<bool> {
    Locked locked(engine);
    if (!locked.find(id)) return locked.none(false);
    return engine.answer(locked, true);
  };
  Result<bool> is_there = engine.read(find, id);
  if (!is_there.ok()) return is_there;
  if (*is_there) return false;
  return ensure(engine, id, customer);
}

bool is_cut_off(const Result<bool>& answer) {
  return !answer.ok() && engine::is_cut_off(answer.error());
}

}  // namespace

Result<std::uint64_t> engine::put_record(Engine& engine, Customer record) {
  Engine::Rest rest;
  Result<Created> put =
      limitr::put_record(engine, std::move(record), /*only_new=*/false, /*event=*/false, rest);
  if (!put.ok()) return std::move(put).error();
  return rest.group;
}

Result<void> Limitr::create_customer(std::string_view id, const NewCustomer& customer) {
  return engine_->change([&]() -> Result<void> {
    const Once once(*engine_, customer.request, "create_customer", customer);
    for (;;) {
      Result<Created> created = create(*engine_, once, id, customer);
      if (!created.ok()) return std::move(created).error();
      if (*created == Created::yes) return {};
      Result<bool> updated = update(*engine_, once, id, customer);
      if (!updated.ok()) return std::move(updated).error();
      if (*updated) return {};
    }
  });
}

Result<bool> Limitr::ensure_customer(std::string_view id, const NewCustomer& customer) {
  if (engine_->sharing() == nullptr || engine_->sharing()->homes() == nullptr) {
    return ensure(*engine_, id, customer);
  }
  if (customer.request.empty() && engine_->has_in_memory(id)) return false;
  Result<bool> created = find_or_make(*engine_, id, customer);
  if (is_cut_off(created) && engine_->waits_for_connection()) {
    created = find_or_make(*engine_, id, customer);
  }
  // Whoever cannot be asked for is not made up.
  if (is_cut_off(created)) return false;
  return created;
}

Result<bool> Limitr::ensure_set_customer(std::string_view record) {
  return engine_->change([&]() -> Result<bool> {
    Result<Created> created = set_record(*engine_, record, /*only_new=*/true, /*event=*/true);
    if (!created.ok()) return std::move(created).error();
    return *created == Created::yes;
  });
}

Result<void> Limitr::set_customer(std::string_view record, bool event) {
  return engine_->change([&]() -> Result<void> {
    Result<Created> put = set_record(*engine_, record, /*only_new=*/false, event);
    if (!put.ok()) return std::move(put).error();
    return {};
  });
}

Read<Json> Limitr::customer(std::string_view id) {
  return engine_->read([&]() -> Read<Json> {
    Locked locked(*engine_);
    if (!locked.find(id)) return locked.none(std::optional<Json>());
    std::string record;
    JsonWriter json(record);
    state::write_customer(json, locked.slot().customer, engine_->names());
    if (auto safe = engine_->finish(locked); !safe.ok()) return std::move(safe).error();
    return std::optional(Json::parse(record));
  });
}

Read<std::vector<std::string>> Limitr::customer_refs(std::string_view id) {
  return engine_->read([&]() -> Read<std::vector<std::string>> {
    Locked locked(*engine_);
    if (!locked.find(id)) return locked.none(std::optional<std::vector<std::string>>());
    return engine_->answer(locked, std::optional(locked.slot().customer.more().refs));
  });
}

Read<Json> Limitr::customer_metadata(std::string_view id) {
  return engine_->read([&]() -> Read<Json> {
    Locked locked(*engine_);
    if (!locked.find(id)) return locked.none(std::optional<Json>());
    return engine_->answer(locked, std::optional(locked.slot().customer.more().metadata));
  });
}

Result<bool> Limitr::set_customer_refs(std::string_view id, std::vector<std::string> refs,
                                       const ChangeOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    if (auto wrong = wrong_texts(refs, "refs")) return *std::move(wrong);
    const Once once(*engine_, options.request, "set_customer_refs", refs);
    Locked locked(*engine_);
    if (auto answer = once.answer<bool>(locked, locked.find(id))) return *answer;
    locked.before_change();
    locked.slot().customer.own_rest().refs = refs;
    once.remember(locked, true);
    return engine_->answer(locked, true);
  });
}

Result<bool> Limitr::delete_customer(std::string_view id) {
  return engine_->change([&]() -> Result<bool> {
    const Timestamp now = engine_->now();
    Locked locked(*engine_);
    if (!lock_with_alts(locked, id, {})) return locked.none(false);
    std::vector<Event> events;
    if (engine_->dispatcher().has_handlers()) {
      events.push_back(engine::customer_removed(locked.slot().customer, engine_->names(), now));
    }
    engine_->erase(locked.slot());
    if (auto finished = engine_->finish(locked, std::move(events)); !finished.ok()) {
      return std::move(finished).error();
    }
    return true;
  });
}

Result<bool> Limitr::set_alt_customer_id(std::string_view id, std::string_view alt,
                                         const ChangeOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    if (auto wrong = wrong_id(alt, "alt")) return *std::move(wrong);
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "set_alt_customer_id", alt);
    Locked locked(*engine_);
    Customer draft;
    const std::string alts[] = {std::string(alt)};
    bool found = false;
    std::uint32_t before = 0;
    do {
      before = locked.times_let_go();
      found = locked.know(alts) && locked.find_draft(id, draft);
    } while (!locked.failure() && before != locked.times_let_go());
    if (auto answer = once.answer<bool>(locked, found)) return *answer;
    const auto owner = engine_->owner_of(alt);
    if (owner && *owner != draft.id) return engine_->answer(locked, false);
    if (!owner) draft.own_rest().alt_ids.emplace_back(alt);
    once.remember(locked, true);
    return put_draft(*engine_, locked, std::move(draft), now);
  });
}

Result<bool> Limitr::delete_alt_customer_id(std::string_view alt) {
  return engine_->change([&]() -> Result<bool> {
    const Timestamp now = engine_->now();
    Locked locked(*engine_);
    Customer draft;
    if (!locked.find_draft(alt, draft)) return locked.none(false);
    if (std::erase(draft.own_rest().alt_ids, alt) == 0) return engine_->answer(locked, false);
    return put_draft(*engine_, locked, std::move(draft), now);
  });
}

Result<bool> Limitr::set_customer_plan(std::string_view id, std::string_view plan,
                                       bool overwrite_meters, const ChangeOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "set_customer_plan", plan, overwrite_meters);
    Locked locked(*engine_);
    Customer draft;
    if (auto answer = once.answer<bool>(locked, locked.find_draft(id, draft))) return *answer;
    const auto change =
        core::change_plan(locked.policy(), locked.family(), draft, plan, overwrite_meters, now);
    if (!change) return engine_->answer(locked, false);
    const policy::Plan& put_on = *locked.policy().plan(plan);
    once.remember(locked, true);
    auto kept = engine_->put(
        locked, std::move(draft), [&](const Customer& customer, std::vector<Event>& events) {
          const SymbolTable& names = engine_->names();
          events.push_back(engine::customer_set(customer, names, now));
          events.push_back(engine::plan_changed(customer, names, change->previous, put_on, now));
        });
    if (!kept.ok()) return std::move(kept).error();
    return true;
  });
}

Result<bool> Limitr::create_customer_override(std::string_view id, std::string_view entitlement,
                                              const OverrideOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "create_customer_override", entitlement, options);
    Locked locked(*engine_);
    Customer draft;
    if (auto answer = once.answer<bool>(locked, locked.find_draft(id, draft))) return *answer;
    Result<bool> made =
        core::override_limit(locked.policy(), locked.family(), draft, entitlement, options);
    if (!made.ok()) return made;
    if (!*made) return engine_->answer(locked, false);
    once.remember(locked, true);
    return put_draft(*engine_, locked, std::move(draft), now);
  });
}

Result<bool> Limitr::remove_customer_override(std::string_view id, std::string_view entitlement,
                                              const ChangeOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    const Timestamp now = engine_->now();
    const Symbol name = engine_->names().find(entitlement);
    const Once once(*engine_, options.request, "remove_customer_override", entitlement);
    Locked locked(*engine_);
    Customer draft;
    if (auto answer = once.answer<bool>(locked, locked.find_draft(id, draft))) return *answer;
    const std::size_t removed =
        std::erase_if(draft.own_rest().overrides,
                      [&](const state::Override& own) { return own.entitlement == name; });
    if (removed == 0) return engine_->answer(locked, false);
    once.remember(locked, true);
    return put_draft(*engine_, locked, std::move(draft), now);
  });
}

Result<bool> Limitr::apply_customer_topup(std::string_view id, std::string_view topup,
                                          const ChangeOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    const Timestamp now = engine_->now();
    const Symbol name = engine_->names().find(topup);
    const Once once(*engine_, options.request, "apply_customer_topup", topup);
    Locked locked(*engine_);
    Customer draft;
    if (auto answer = once.answer<bool>(locked, locked.find_draft(id, draft))) return *answer;
    const policy::Policy& policy = locked.policy();
    const policy::Plan* plan = core::plan_of(policy, locked.family());
    const policy::Topup* granted = plan == nullptr ? nullptr : plan->find_topup(name);
    if (granted == nullptr) return engine_->answer(locked, false);
    core::append(draft.own_rest().grants, core::new_grant(*granted, now, engine_->ids()));
    once.remember(locked, true);
    auto kept = engine_->put(
        locked, std::move(draft), [&](const Customer& customer, std::vector<Event>& events) {
          events.push_back(engine::topup_granted(customer, policy, *plan, *granted,
                                                 customer.more().grants.back(), now));
        });
    if (!kept.ok()) return std::move(kept).error();
    return true;
  });
}

Result<void> Limitr::ensure_included_topups(std::string_view id, const ChangeOptions& options) {
  return engine_->change([&]() -> Result<void> {
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "ensure_included_topups");
    Locked locked(*engine_);
    Customer draft;
    if (auto answer = once.answer<void>(locked, locked.find_draft(id, draft))) return *answer;
    const policy::Plan* plan = core::plan_of(locked.policy(), locked.family());
    if (plan == nullptr) return engine_->finish(locked);
    core::Grants& grants = draft.own_rest().grants;
    if (!core::follow_topups(grants, *plan, draft.type, now, engine_->ids())) {
      return engine_->finish(locked);
    }
    once.remember(locked, true);
    auto put = put_draft(*engine_, locked, std::move(draft), now);
    if (!put.ok()) return std::move(put).error();
    return {};
  });
}

Result<bool> Limitr::ensure_plan_subscription(std::string_view id, const ChangeOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    const Once once(*engine_, options.request, "ensure_plan_subscription");
    std::string subscription;
    {
      Locked locked(*engine_);
      if (auto answer = once.answer<Decision>(locked, locked.find(id))) {
        if (!answer->ok()) return std::move(*answer).error();
        return (*answer)->allowed;
      }
      const policy::Plan* plan = locked.policy().plan(locked.slot().customer.plan);
      if (plan == nullptr || plan->find(plan->subscription) == nullptr) {
        return engine_->answer(locked, false);
      }
      subscription = engine_->names().text(plan->subscription);
    }
    // Looked at again under the locks of the call: of two that come at once, one increments.
    const auto is_due = [&](const Locked& locked, Timestamp now) {
      const Customer& customer = locked.family()[Family::caller];
      const policy::Plan* plan = locked.policy().plan(customer.plan);
      if (plan == nullptr || engine_->names().text(plan->subscription) != subscription)
        return false;
      const state::Meter* meter = customer.meter(plan->subscription);
      if (meter == nullptr || !amount::less(meter->value, 1)) return false;
      return !plan->trial_period || now - meter->started >= *plan->trial_period;
    };
    const Engine::Condition condition{is_due, once};
    const CallOptions plain;
    core::CallInput input{.entitlement = std::string_view(subscription),
                          .increments = 1,
                          .options = &plain,
                          .now = {},
                          .host_overhead = {},
                          .rates = {}};
    Result<Decision> decision = engine_->decide({id}, input, /*commit=*/true, &condition);
    if (!decision.ok()) return std::move(decision).error();
    return decision->allowed;
  });
}

}  // namespace limitr
