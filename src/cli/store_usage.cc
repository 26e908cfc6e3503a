// SPDX-License-Identifier: Apache-2.0
#include "cli/store_usage.h"

#include <utility>

#include <fmt/format.h>

#include "cli/options.h"

namespace limitr::cli {
namespace {

constexpr std::string_view call_examples = R"(
The answer is one line, and the exit code: 0 allowed, 1 denied, 2 not decided.

Examples:
  limitr allow --store sqlite:limitr.db ann ai_chat 1200
  limitr allow --store sqlite:limitr.db ann storage 2GB --request upload-4711
  limitr check --store sqlite:limitr.db ann ai_chat 1200 || echo "not now"
  limitr increment --store sqlite:limitr.db acme seats
  limitr set --store sqlite:limitr.db acme seats 7

The policy is the one that the store keeps, or --policy FILE, which calls that write keep there.
`check` meters nothing, and works while a server owns the store; the others need it for themselves,
and say who has it. With --request the call counts once, however often it is repeated.
)";

constexpr std::string_view hold_examples = R"(
A hold keeps room for a call whose size is known only afterwards.

Examples:
  hold=$(limitr reserve --store sqlite:limitr.db ann ai_chat 4000 --ttl 10min)
  limitr settle --store sqlite:limitr.db ann ai_chat "$hold" 2950
  limitr release --store sqlite:limitr.db ann ai_chat "$hold"
  limitr held --store sqlite:limitr.db ann ai_chat

`reserve` prints the hold's ID; exit code 1: there is no room. `settle` prints a decision.
)";

constexpr std::string_view change_examples = R"(
Examples:
  limitr create --store sqlite:limitr.db ann --plan pro --alt ann@example.com --ref acme
  limitr plan --store sqlite:limitr.db ann free
  limitr topup --store sqlite:limitr.db ann extra_tokens --request order-4711
  limitr override --store sqlite:limitr.db ann ai_chat 20000 --expires +30d
  limitr override --store sqlite:limitr.db ann ai_chat --remove
  limitr delete --store sqlite:limitr.db ann

Exit code: 0 it was done, 1 there was nothing to do, which is said; 2 trouble.
)";

constexpr std::string_view list_examples = R"(
Examples:
  limitr customers --store sqlite:limitr.db
  limitr customers --store sqlite:limitr.db --plan pro --after m --limit 100
  limitr customers --store sqlite:limitr.db --json | jq -r '.id'
  limitr customer --store sqlite:limitr.db ann
  limitr customer --store sqlite:limitr.db ann --json | jq .meters.ai_chat.remaining

`customers` is a table, 50 rows where --limit says nothing else; with --json it is every record, one
a line. `customer` is a page: plan, meters, own limits, grants, caps, holds. Both only read, and work
while a server owns the store.
)";

constexpr std::string_view transfer_examples = R"(
Everything that a store holds, as portable JSON: that is how state moves from one store to another,
of whatever kinds the two are.

Examples:
  limitr export --store sqlite:limitr.db -o backup.json
  limitr policy --store sqlite:limitr.db > policy.json
  limitr import --store sqlite:new.db --policy policy.json backup.json
  limitr export --store sqlite:limitr.db | limitr import --store sqlite:new.db --policy policy.json
  limitr import --store sqlite:limitr.db --replace fixed.json

`export` only reads, and works while a server owns the store; damaged records are named and left out
(exit code 1), and a file that is written with -o is whole or not there. `import` leaves customers
that are there alone, and names them (exit code 1), unless --replace puts the imported ones in their
place.
)";

constexpr std::string_view look_examples = R"(
Examples:
  limitr store sqlite:limitr.db           kind, owner, size, versions
  limitr policy --store sqlite:limitr.db  the policy that is kept there, as JSON
  limitr fsck --store sqlite:limitr.db    do the books balance? exit code 1: no, and where
  limitr fsck --store sqlite:limitr.db --json | jq '.findings[].customer'

They only read, and work while a server owns the store.
)";

void add_policy(CLI::App& command, StoreUse& use) {
  command.add_option("--policy", use.policy, "A policy file; else the one that the store keeps")
      ->check(is_named())
      ->type_name("FILE");
  add_format(command, use.format);
  add_bounds(command, use.bounds);
}

std::optional<Durability> durability_of(std::string_view name) {
  if (name == "sync") return Durability::sync;
  if (name == "interval") return Durability::interval;
  if (name == "manual") return Durability::manual;
  return std::nullopt;
}

/// What commands are told that own the store.
void add_writing(CLI::App& command, StoreUse& use) {
  add_store(command, use.url);
  add_policy(command, use);
  add_read_option(
      command, "--durability", "When a change is safe: sync, the default, interval or manual",
      [&use](const std::string& name) -> std::string {
        const auto found = durability_of(name);
        use.durability = found.value_or(use.durability);
        if (found) return {};
        return fmt::format("there is no durability `{}`: sync, interval or manual", name);
      })
      ->type_name("sync|interval|manual");
  command.add_flag("--accept-weaker", use.accept_weaker,
                   "Take a store that keeps less than that asks for");
}

void add_json(CLI::App& command, bool& json) { command.add_flag("--json", json, "Print JSON"); }

void add_request(CLI::App& command, std::string& request) {
  command.add_option("--request", request, "The call counts once under this ID")->type_name("ID");
}

void add_id(CLI::App& command, std::string& id) {
  command.add_option("customer", id, "Its ID, or an alternate one")->required()->type_name("ID");
}

void add_entitlement(CLI::App& command, std::string& entitlement) {
  command.add_option("entitlement", entitlement, "The entitlement's name")
      ->required()
      ->type_name("ENTITLEMENT");
}

CLI::Option* add_value(CLI::App& command, std::optional<std::string>& value,
                       const std::string& what) {
  return add_read_option(command, "value", what,
                         [&value](const std::string& written) -> std::string {
                           value = written;
                           return {};
                         })
      ->type_name("VALUE");
}

void add_text(CLI::App& command, const std::string& name, std::optional<std::string>& text,
              const std::string& what, const std::string& type) {
  add_read_option(command, name, what, [&text](const std::string& written) -> std::string {
    text = written;
    return {};
  })->type_name(type);
}

}  // namespace

void add_store(CLI::App& command, std::string& url, bool optional) {
  command.add_option("--store", url, "Where the state is kept, as sqlite:limitr.db")
      ->required(!optional)
      ->type_name("URL");
}

CLI::App& StoreUsage::add(CLI::App& app, const std::string& name, const std::string& what,
                          std::string_view examples, std::function<int()> play) {
  commands_[name] = std::move(play);
  CLI::App& command = *app.add_subcommand(name, what);
  command.group("On a store")->footer(footer_text(examples));
  return command;
}

void StoreUsage::add_calls(CLI::App& app) {
  const auto add_call = [&](const std::string& name, const std::string& what,
                            int (*play)(const CallWords&), bool writes) -> CLI::App& {
    CLI::App& command = add(app, name, what, call_examples, [this, play] { return play(call_); });
    add_id(command, call_.customer);
    add_entitlement(command, call_.entitlement);
    if (writes) {
      add_writing(command, call_.use);
    } else {
      add_store(command, call_.use.url);
      add_policy(command, call_.use);
    }
    add_object(command, "--event-data", call_.event_data, "For the policy's functions");
    add_number(command, "--overhead", call_.overhead, "What the call really cost, in runes");
    command.add_flag("--force", call_.force, "It already happened: record it whatever it breaks");
    add_request(command, call_.request);
    add_json(command, call_.json);
    return command;
  };
  constexpr const char* how_much =
      "How much: a number, or text with a unit; 0 where it is not said";
  add_value(add_call("allow", "Decide one call, and meter it", allow, true), call_.value, how_much);
  add_value(add_call("check", "Say what allow would answer", check, false), call_.value, how_much);
  add_call("increment", "allow, by the limit's increment", increment, true);
  add_call("decrement", "allow, by minus the limit's increment", decrement, true);
  add_value(add_call("set", "allow, by as much as takes the meter to a value", set, true),
            call_.value, "What the meter should say")
      ->required();
}

void StoreUsage::add_holds(CLI::App& app) {
  const auto add_hold = [&](const std::string& name, const std::string& what,
                            int (*play)(const CallWords&), bool writes) -> CLI::App& {
    CLI::App& command = add(app, name, what, hold_examples, [this, play] { return play(call_); });
    add_id(command, call_.customer);
    add_entitlement(command, call_.entitlement);
    if (writes) {
      add_writing(command, call_.use);
      add_request(command, call_.request);
    } else {
      add_store(command, call_.use.url);
      add_policy(command, call_.use);
    }
    add_json(command, call_.json);
    return command;
  };
  const auto add_learning = [&](CLI::App& command) {
    add_object(command, "--event-data", call_.event_data, "For the policy's functions");
    add_number(command, "--overhead", call_.overhead, "What the call costs, in runes");
    add_number(command, "--basis", call_.basis, "What estimates scale by");
    add_text(command, "--segment", call_.segment, "What estimates are kept apart by", "NAME");
  };
  const auto add_hold_id = [&](CLI::App& command) {
    command.add_option("hold", call_.hold, "What reserve printed")->required()->type_name("HOLD");
  };
  CLI::App& reserving = add_hold("reserve", "Hold room for a call of unknown size", reserve, true);
  add_value(reserving, call_.value, "How much; else the estimate, else the limit's increment");
  add_text(reserving, "--ttl", call_.ttl, "How long; else the policy's hold_ttl", "DURATION");
  add_learning(reserving);
  CLI::App& settling = add_hold("settle", "Drop a hold, and record what was used", settle, true);
  add_hold_id(settling);
  add_value(settling, call_.value, "How much was used")->required();
  add_learning(settling);
  add_hold_id(add_hold("release", "Drop a hold", release, true));
  add_hold("held", "Say how much is held", held, false);
}

void StoreUsage::add_changes(CLI::App& app) {
  const auto add_change = [&](const std::string& name, const std::string& what,
                              int (*play)(const ChangeWords&)) -> CLI::App& {
    CLI::App& command =
        add(app, name, what, change_examples, [this, play] { return play(change_); });
    add_id(command, change_.customer);
    add_writing(command, change_.use);
    add_json(command, change_.json);
    return command;
  };
  CLI::App& creating = add_change("create", "Create a customer", create_customer);
  creating.add_option("--plan", change_.plan, "Else inherited through refs, or the default")
      ->type_name("PLAN");
  creating.add_option("--type", change_.type, "Its type (default user)")->type_name("TYPE");
  creating.add_option("--label", change_.label, "Its label (default User)")->type_name("TEXT");
  creating.add_option("--ref", change_.refs, "A customer that it refers to; may be repeated")
      ->expected(1)
      ->take_all()
      ->type_name("ID");
  creating.add_option("--alt", change_.alts, "An alternate ID; may be repeated")
      ->expected(1)
      ->take_all()
      ->type_name("ID");
  add_object(creating, "--metadata", change_.metadata, "What you want to keep with it");
  add_request(creating, change_.request);
  CLI::App& planning = add_change("plan", "Put a customer on a plan", put_on_plan);
  planning.add_option("plan", change_.plan, "The plan's name")->required()->type_name("PLAN");
  add_request(planning, change_.request);
  CLI::App& topping = add_change("topup", "Give a customer a topup of its plan", apply_topup);
  topping.add_option("topup", change_.topup, "The topup's name")->required()->type_name("TOPUP");
  add_request(topping, change_.request);
  CLI::App& overriding =
      add_change("override", "Give a customer a limit of its own", override_limit);
  add_entitlement(overriding, change_.entitlement);
  add_value(overriding, change_.value, "The limit; what is not said stays as it is");
  overriding.add_option("--mode", change_.mode, "hard, soft or observe")->type_name("MODE");
  overriding.add_option("--expires", change_.expires, "2026-03-01, 2026-03-01T12:00Z or +30d")
      ->type_name("TIME");
  overriding.add_flag("--remove", change_.remove, "The plan's limit counts again");
  add_request(overriding, change_.request);
  add_change("delete", "Delete a customer, with all that is kept of it", delete_customer);
}

void StoreUsage::add_lists(CLI::App& app) {
  CLI::App& listing = add(app, "customers", "List customers", list_examples,
                          [this] { return list_customers(customers_); });
  add_store(listing, customers_.use.url);
  add_policy(listing, customers_.use);
  listing.add_option("--after", customers_.after, "Only those whose IDs come later")
      ->type_name("ID");
  add_read_option(listing, "--limit", "So many at most",
                  [this](const std::string& written) -> std::string {
                    customers_.limit = whole_number(written);
                    if (customers_.limit) return {};
                    return fmt::format("`{}` is no whole number", written);
                  })
      ->type_name("N");
  listing.add_option("--plan", customers_.plan, "Only those on this plan of their own")
      ->type_name("PLAN");
  add_json(listing, customers_.json);
  CLI::App& showing = add(app, "customer", "Show a customer: plan, meters, grants, caps, holds",
                          list_examples, [this] { return show_customer(customer_); });
  add_id(showing, customer_.id);
  add_store(showing, customer_.use.url);
  add_policy(showing, customer_.use);
  add_json(showing, customer_.json);
}

void StoreUsage::add_transfers(CLI::App& app) {
  CLI::App& exporting = add(app, "export", "Write all that a store holds as portable JSON",
                            transfer_examples, [this] { return export_records(export_); });
  add_store(exporting, export_.use.url);
  exporting.add_option("-o,--output", export_.file, "A file; else standard output")
      ->check(is_named())
      ->type_name("FILE");
  CLI::App& importing = add(app, "import", "Load an export into a store", transfer_examples,
                            [this] { return import_file(import_); });
  importing.add_option("file", import_.file, "An export; - is standard input, the default")
      ->check(is_named())
      ->type_name("FILE");
  add_writing(importing, import_.use);
  importing.add_flag("--replace", import_.replace, "Also customers that are there already");
  add_json(importing, import_.json);
}

void StoreUsage::add_looks(CLI::App& app) {
  CLI::App& checking = add(app, "fsck", "Find what contradicts itself in a store", look_examples,
                           [this] { return fsck(look_); });
  add_store(checking, look_.use.url);
  add_json(checking, look_.json);
  CLI::App& printing = add(app, "policy", "Print the policy that a store keeps", look_examples,
                           [this] { return show_policy(look_); });
  add_store(printing, look_.use.url);
  CLI::App& showing = add(app, "store", "Show a store: owner, size, versions", look_examples,
                          [this] { return show_store(look_); });
  showing.add_option("url,--store", look_.use.url, "The store, as sqlite:limitr.db")
      ->required()
      ->type_name("URL");
  add_json(showing, look_.json);
}

void StoreUsage::add_to(CLI::App& app) {
  add_calls(app);
  add_holds(app);
  add_changes(app);
  add_lists(app);
  add_transfers(app);
  add_looks(app);
}

std::optional<int> StoreUsage::run(const std::string& name) const {
  const auto found = commands_.find(name);
  if (found == commands_.end()) return std::nullopt;
  return found->second();
}

}  // namespace limitr::cli
