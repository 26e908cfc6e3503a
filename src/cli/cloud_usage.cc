// SPDX-License-Identifier: Apache-2.0
#include "cli/cloud_usage.h"

#include <utility>

#include <fmt/format.h>

#include "cli/options.h"

namespace limitr::cli {
namespace {

constexpr const char* group = "On a server";

constexpr std::string_view policy_examples = R"(
Examples:
  limitr push --store sqlite:limitr.db policy.yaml --message "more for pro"
  limitr push --address https://limits.example.com policy.yaml
  limitr versions --store sqlite:limitr.db            the newest first, * in force
  limitr versions --store sqlite:limitr.db 3          version 3, as JSON
  limitr versions --store sqlite:limitr.db 3 5        what 5 changes of 3; exit code 1: something
  limitr rollback --store sqlite:limitr.db 3          as a new version

With --store it is changed where the server keeps it, while it runs or not: it notices within a
second. With --address the server is asked, with a token of --token or LIMITR_TOKEN.

Exit code: 0 it was done, 1 the policy is invalid, or there was nothing to change; 2 trouble.
)";

constexpr std::string_view token_examples = R"(
Examples:
  limitr token create --store sqlite:limitr.db web
  token=$(limitr token create --store sqlite:limitr.db ci --scope admin --expires +90d)
  limitr token list --store sqlite:limitr.db
  limitr token revoke --store sqlite:limitr.db 4f0c0d8e1b2a3c4d

`token create` prints the token, alone on standard output. What is kept of it is a sum that does not
give it back: it cannot be shown again. A token that is revoked, or has expired, loses its
connections within seconds.
)";

constexpr std::string_view project_examples = R"(
Examples:
  limitr project create --store sqlite:limitr.db acme
  limitr project list --store sqlite:limitr.db
  limitr push --store sqlite:limitr.db --project acme policy.yaml
  limitr token create --store sqlite:limitr.db --project acme web

Projects have their own customers, policies and tokens. There is always one called `default`, whose
administrators reach the others too.
)";

constexpr std::string_view in_doubt_examples = R"(
Examples:
  limitr in-doubt list --address https://limits.example.com
  limitr in-doubt list --store sqlite:limitr.db ann
  limitr in-doubt release --address https://limits.example.com ann
  limitr in-doubt release --store sqlite:limitr.db ann --engine 4f0c0d8e1b2a3c4d5e6f708192a3b4c5

An engine that was lost may have used what was set aside for it. Until it reports, or the period
ends, that counts as used. Release it when the engine is not going to report: should it do so
after all, its use is added, and may pass the limit by what was released.

A server that runs knows who is lost. On the store of one that does not, a customer's home is
released when --engine names it.

Exit code: 0 it was done, 1 there was nothing to release, 2 trouble.
)";

void add_use(CLI::App& command, CloudUse& use, bool has_project) {
  auto* store = command.add_option("--store", use.store, "Where the server keeps its state")
                    ->type_name("URL");
  command.add_option("--address", use.address, "A running server, as http://localhost:4242")
      ->excludes(store)
      ->type_name("URL");
  command.add_option("--token", use.token, "For the server; else LIMITR_TOKEN of the environment")
      ->type_name("TOKEN");
  command.add_option("--ca-file", use.ca_file, "Certificates that https:// trusts")
      ->check(is_named())
      ->type_name("FILE");
  if (has_project) {
    command.add_option("--project", use.project, "Else the token's own, or default")
        ->type_name("NAME");
  }
  command.add_flag("--json", use.json, "Print JSON");
}

CLI::Option* add_version(CLI::App& command, const std::string& name, const std::string& what,
                         std::function<void(std::uint64_t)> take) {
  return add_read_option(command, name, what,
                         [take = std::move(take)](const std::string& written) -> std::string {
                           const auto number = whole_number(written);
                           if (number.value_or(0) == 0) {
                             return fmt::format("`{}` is no whole number above 0", written);
                           }
                           take(*number);
                           return {};
                         })
      ->type_name("VERSION");
}

CLI::App& add_family(CLI::App& app, const std::string& name, const std::string& what,
                     std::string_view examples) {
  CLI::App& family = *app.add_subcommand(name, what);
  family.group(group)->require_subcommand(1)->footer(footer_text(examples));
  return family;
}

}  // namespace

CLI::App& CloudUsage::add(CLI::App& parent, const std::string& name, const std::string& what,
                          CloudUse& use, bool has_project, std::function<int()> play) {
  CLI::App& command = *parent.add_subcommand(name, what);
  add_use(command, use, has_project);
  commands_[&command] = std::move(play);
  return command;
}

void CloudUsage::add_policies(CLI::App& app) {
  CLI::App& pushing =
      add(app, "push", "Put a policy in force", push_.use, true, [this] { return push(push_); });
  pushing.add_option("policy", push_.file, "A policy file; - is standard input")
      ->required()
      ->check(is_named())
      ->type_name("POLICY");
  add_format(pushing, push_.format);
  pushing.add_option("--message", push_.message, "What it changes, for people")->type_name("TEXT");
  CLI::App& listing = add(app, "versions", "List versions of the policy, print or compare them",
                          versions_.use, true, [this] { return versions(versions_); });
  add_version(listing, "version", "One to print",
              [this](std::uint64_t number) { versions_.version = number; });
  add_version(listing, "other", "One to compare it with",
              [this](std::uint64_t number) { versions_.other = number; });
  CLI::App& going_back = add(app, "rollback", "Put an earlier version of the policy in force",
                             rollback_.use, true, [this] { return roll_back(rollback_); });
  add_version(going_back, "version", "Which", [this](std::uint64_t number) {
    rollback_.version = number;
  })->required();
  for (CLI::App* command : {&pushing, &listing, &going_back}) {
    command->group(group)->footer(footer_text(policy_examples));
  }
}

void CloudUsage::add_tokens(CLI::App& app) {
  CLI::App& family = add_family(app, "token", "Create, list and revoke tokens", token_examples);
  CLI::App& creating = add(family, "create", "Create a token, and print it this once", token_.use,
                           true, [this] { return create_token(token_); });
  creating.add_option("name", token_.name, "Who will have it, for people")
      ->required()
      ->type_name("NAME");
  creating
      .add_option("--scope", token_.scopes, "engine, the default, read or admin; may be repeated")
      ->expected(1)
      ->take_all()
      ->type_name("SCOPE");
  creating.add_option("--kind", token_.kind, "live, the default, or test")->type_name("live|test");
  creating.add_option("--expires", token_.expires, "2026-03-01, 2026-03-01T12:00Z or +30d")
      ->type_name("TIME");
  add(family, "list", "List tokens", token_.use, true, [this] { return list_tokens(token_); });
  CLI::App& revoking = add(family, "revoke", "Revoke a token", token_.use, true,
                           [this] { return revoke_token(token_); });
  revoking.add_option("id", token_.id, "As `token list` shows it")->required()->type_name("ID");
}

void CloudUsage::add_projects(CLI::App& app) {
  CLI::App& family = add_family(app, "project", "Create and list projects", project_examples);
  CLI::App& creating = add(family, "create", "Create a project", project_.use, false,
                           [this] { return create_project(project_); });
  creating.add_option("name", project_.name, "1 to 40 of a-z, 0-9 and -")
      ->required()
      ->type_name("NAME");
  add(family, "list", "List projects", project_.use, false,
      [this] { return list_projects(project_); });
}

void CloudUsage::add_in_doubt(CLI::App& app) {
  CLI::App& family = add_family(app, "in-doubt", "List and release what lost engines may have used",
                                in_doubt_examples);
  CLI::App& listing = add(family, "list", "List what is in doubt, and what was released",
                          in_doubt_.use, true, [this] { return list_in_doubt(in_doubt_); });
  listing.add_option("customer", in_doubt_.customer, "Only this one")->type_name("CUSTOMER");
  CLI::App& releasing = add(family, "release", "Count what is in doubt of a customer no more",
                            in_doubt_.use, true, [this] { return release_in_doubt(in_doubt_); });
  releasing.add_option("customer", in_doubt_.customer, "Whose")->required()->type_name("CUSTOMER");
  releasing.add_option("--engine", in_doubt_.engine, "Only what that one may have used")
      ->type_name("ENGINE");
}

void CloudUsage::add_to(CLI::App& app) {
  add_policies(app);
  add_tokens(app);
  add_projects(app);
  add_in_doubt(app);
}

std::optional<int> CloudUsage::run(const CLI::App& command) const {
  const auto within = command.get_subcommands();
  const auto found = commands_.find(within.empty() ? &command : within.front());
  if (found == commands_.end()) return std::nullopt;
  return found->second();
}

}  // namespace limitr::cli
