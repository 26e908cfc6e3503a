// SPDX-License-Identifier: Apache-2.0
#include "cli/cloud_commands.h"

#include <utility>

#include <fmt/format.h>

#include "base/amount.h"
#include "base/json_writer.h"
#include "call/time_text.h"
#include "cli/command.h"
#include "cli/difference.h"
#include "cli/policy_file.h"
#include "cli/scenario/text_file.h"
#include "cli/terminal.h"

namespace limitr::cli {
namespace {

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string number_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? fmt::format("{}", found->dump()) : "";
}

bool flag_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

std::string time_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number()) return "";
  return call::iso_text(timestamp_from_ms(found->get<std::int64_t>()));
}

/// The list of that name; what a server sends that is none counts as empty.
const Json& list_of(const Json& value, const char* name) {
  static const Json nothing = Json::array();
  const auto found = value.find(name);
  return found != value.end() && found->is_array() ? *found : nothing;
}

const Json& object_of(const Json& value, const char* name) {
  static const Json nothing = Json::object();
  const auto found = value.find(name);
  return found != value.end() && found->is_object() ? *found : nothing;
}

int refused(const Error& error) { return trouble(error.to_string()); }

int print_json(const Json& value) {
  print("{}\n", Shown{to_json_text(value)});
  return exit_fine;
}

int show_pushed(const Json& value, const CloudUse& use) {
  const bool is_new = flag_of(value, "new");
  if (use.json) {
    print_json(value);
  } else if (is_new) {
    print("version {} is in force\n", number_of(value, "version"));
  } else {
    print("nothing to change: version {}, which is in force, says the same\n",
          number_of(value, "version"));
  }
  return is_new ? exit_fine : exit_negative;
}

/// Every problem with its place, as `validate` has it.
int show_invalid(const std::string& file, const PolicyFile& policy, const Error& error) {
  const std::string name = scenario::shown_name(file);
  std::size_t errors = 0;
  for (const Issue& issue : validate_policy(policy.text, policy.format)) {
    if (issue.severity != Issue::Severity::error) continue;
    ++errors;
    print_to(stderr, "{}:{}{}\n", name, issue.line == 0 ? " " : "", issue.to_string());
  }
  // A server that knows other rules.
  if (errors == 0) return refused(error);
  trouble("nothing is changed: the policy is not valid");
  return exit_negative;
}

std::vector<Difference> differences_of(const Json& value) {
  std::vector<Difference> differences;
  for (const Json& item : list_of(value, "differences")) {
    Difference& difference = differences.emplace_back();
    const std::string kind = text_of(item, "kind");
    difference.kind = kind == "added"     ? Difference::Kind::added
                      : kind == "removed" ? Difference::Kind::removed
                                          : Difference::Kind::changed;
    difference.path = text_of(item, "path");
    if (const auto before = item.find("before"); before != item.end()) difference.before = *before;
    if (const auto after = item.find("after"); after != item.end()) difference.after = *after;
  }
  return differences;
}

std::string scopes_of(const Json& token) {
  std::string scopes;
  for (const Json& scope : list_of(token, "scopes")) {
    if (!scope.is_string()) continue;
    if (!scopes.empty()) scopes += ' ';
    scopes += scope.get<std::string>();
  }
  return scopes;
}

int list_versions(const CloudUse& use) {
  const auto value = ask(use, "versions", Json::object());
  if (!value.ok()) return refused(value.error());
  if (use.json) return print_json(list_of(*value, "versions"));
  Table table({{.heading = "version", .is_number = true},
               {.heading = "since"},
               {.heading = "who"},
               {.heading = "message"}});
  for (const Json& entry : list_of(*value, "versions")) {
    table.add({(flag_of(entry, "active") ? "* " : "") + number_of(entry, "version"),
               time_of(entry, "at"), text_of(entry, "who"), text_of(entry, "message")});
  }
  print("{}", table.text(Style()));
  return exit_fine;
}

/// All pages as one list.
Result<Json> all_in_doubt(const InDoubtOptions& options) {
  Json all = Json::array();
  Json args = Json::object();
  if (!options.customer.empty()) args["customer"] = options.customer;
  while (true) {
    const auto page = ask(options.use, "in_doubt_list", args);
    if (!page.ok()) return page.error();
    for (const Json& customer : list_of(*page, "customers")) all.push_back(customer);
    const std::string after = text_of(*page, "after");
    if (!flag_of(*page, "more") || after.empty()) return all;
    args["after"] = after;
  }
}

std::string state_of(const Json& entry) {
  if (flag_of(entry, "released")) return "released";
  return flag_of(entry, "home") ? "at a lost home" : "in doubt";
}

/// A line for each meter and cap of each entry.
void add_entries(Table& table, const Json& customer) {
  const std::string id = text_of(customer, "id");
  if (customer.contains("error")) table.add({id, "", text_of(customer, "error"), "", "", ""});
  for (const Json& entry : list_of(customer, "entries")) {
    bool is_empty = true;
    for (const char* kind : {"meters", "caps"}) {
      const Json& rooms = object_of(object_of(entry, "room"), kind);
      for (const auto& [name, room] : rooms.items()) {
        table.add({id, text_of(entry, "engine"), state_of(entry),
                   std::string_view(kind) == "caps" ? "cap " + name : name,
                   number_of(room, "units"), time_of(room, "started")});
        is_empty = false;
      }
    }
    if (is_empty) table.add({id, text_of(entry, "engine"), state_of(entry), "", "0", ""});
  }
}

}  // namespace

int push(const PushOptions& options) {
  const auto policy = read_policy(options.file, options.format, {});
  if (!policy.ok()) return refused(policy.error());
  constexpr const char* names[] = {"yaml", "json", "toml"};
  const auto value = ask(options.use, "push",
                         {{"document", policy->text},
                          {"format", names[static_cast<std::size_t>(policy->format)]},
                          {"message", options.message}});
  if (value.ok()) return show_pushed(*value, options.use);
  if (value.error().code != ErrorCode::policy_invalid) return refused(value.error());
  return show_invalid(options.file, *policy, value.error());
}

int versions(const VersionsOptions& options) {
  if (!options.version) return list_versions(options.use);
  if (options.other) {
    const auto value =
        ask(options.use, "diff", {{"before", *options.version}, {"after", *options.other}});
    if (!value.ok()) return refused(value.error());
    return show_differences(differences_of(*value), options.use.json);
  }
  const auto value = ask(options.use, "policy", {{"version", *options.version}});
  if (!value.ok()) return refused(value.error());
  print("{}\n", text_of(*value, "document"));
  return exit_fine;
}

int roll_back(const RollbackOptions& options) {
  const auto value = ask(options.use, "rollback", {{"version", options.version}});
  if (!value.ok()) return refused(value.error());
  return show_pushed(*value, options.use);
}

int create_token(const TokenOptions& options) {
  Json args = {{"name", options.name}, {"kind", options.kind}, {"scopes", options.scopes}};
  if (options.scopes.empty()) args["scopes"] = {"engine"};
  if (!options.expires.empty()) args["expires"] = options.expires;
  const auto value = ask(options.use, "token_create", std::move(args));
  if (!value.ok()) return refused(value.error());
  if (options.use.json) return print_json(*value);
  // Alone on standard output, for scripts to take.
  print("{}\n", text_of(*value, "token"));
  std::fflush(stdout);
  print_to(stderr, "limitr: token {} of the project `{}` ({}); it is shown this once\n",
           text_of(*value, "id"), text_of(*value, "project"), scopes_of(*value));
  return exit_fine;
}

int list_tokens(const TokenOptions& options) {
  const auto value = ask(options.use, "token_list", Json::object());
  if (!value.ok()) return refused(value.error());
  if (options.use.json) return print_json(list_of(*value, "tokens"));
  Table table({{.heading = "id"},
               {.heading = "name"},
               {.heading = "kind"},
               {.heading = "scopes"},
               {.heading = "created"},
               {.heading = "expires"},
               {.heading = "revoked"}});
  for (const Json& token : list_of(*value, "tokens")) {
    table.add({text_of(token, "id"), text_of(token, "name"), text_of(token, "kind"),
               scopes_of(token), time_of(token, "created"), time_of(token, "expires"),
               time_of(token, "revoked")});
  }
  print("{}", table.text(Style()));
  return exit_fine;
}

int revoke_token(const TokenOptions& options) {
  const auto value = ask(options.use, "token_revoke", {{"id", options.id}});
  if (!value.ok()) return refused(value.error());
  if (options.use.json) return print_json(*value);
  print("`{}` is revoked since {}\n", text_of(*value, "name"), time_of(*value, "revoked"));
  return exit_fine;
}

int create_project(const ProjectOptions& options) {
  const auto value = ask(options.use, "project_create", {{"name", options.name}});
  if (!value.ok()) return refused(value.error());
  if (options.use.json) return print_json(*value);
  print("project `{}`\n", text_of(*value, "name"));
  return exit_fine;
}

int list_projects(const ProjectOptions& options) {
  const auto value = ask(options.use, "project_list", Json::object());
  if (!value.ok()) return refused(value.error());
  if (options.use.json) return print_json(list_of(*value, "projects"));
  Table table({{.heading = "name"}, {.heading = "created"}});
  for (const Json& project : list_of(*value, "projects")) {
    table.add({text_of(project, "name"), time_of(project, "created")});
  }
  print("{}", table.text(Style()));
  return exit_fine;
}

int list_in_doubt(const InDoubtOptions& options) {
  const auto customers = all_in_doubt(options);
  if (!customers.ok()) return refused(customers.error());
  if (options.use.json) return print_json(*customers);
  if (customers->empty()) {
    print("nothing is in doubt\n");
    return exit_fine;
  }
  Table table({{.heading = "customer"},
               {.heading = "engine"},
               {.heading = "state"},
               {.heading = "of"},
               {.heading = "units", .is_number = true},
               {.heading = "period since"}});
  for (const Json& customer : *customers) add_entries(table, customer);
  print("{}", table.text(Style()));
  return exit_fine;
}

int release_in_doubt(const InDoubtOptions& options) {
  Json args = {{"customer", options.customer}};
  if (!options.engine.empty()) args["engine"] = options.engine;
  const auto value = ask(options.use, "in_doubt_release", std::move(args));
  if (!value.ok()) return refused(value.error());
  const Json& engines = list_of(*value, "engines");
  const int code = engines.empty() ? exit_negative : exit_fine;
  if (options.use.json) {
    print_json(*value);
    return code;
  }
  const std::string customer = text_of(*value, "customer");
  if (engines.empty()) {
    print("nothing of `{}` is in doubt{}\n", customer,
          options.engine.empty() ? "" : " for that engine");
    return code;
  }
  for (const Json& engine : engines) {
    if (!engine.is_string()) continue;
    print("released of `{}`: what the engine {} may have used\n", customer,
          engine.get<std::string>());
  }
  return code;
}

}  // namespace limitr::cli
