// SPDX-License-Identifier: Apache-2.0
#include "server/admin.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/amount.h"
#include "call/arguments.h"
#include "call/policies.h"
#include "policy/document.h"

namespace limitr::server {
namespace {

using call::Arguments;
using call::Kind;
using call::Parameter;

/// What one message asks, its scope and project checked.
struct Asked {
  Control& control;
  const Caller& caller;
  std::string project;
  const Arguments& args;

  std::string who() const {
    if (caller.token_id.empty()) return caller.token_name;
    return fmt::format("{} (token {})", caller.token_name, caller.token_id);
  }
};

Error refused(std::string message) {
  return {.code = ErrorCode::invalid_argument, .message = std::move(message)};
}

Json json_of(const std::optional<Timestamp>& time) { return time ? Json(to_ms(*time)) : Json(); }

Json json_of(const Project& project) {
  return {{"name", project.name}, {"created", to_ms(project.created)}};
}

Json json_of(const Token& token) {
  Json scopes = Json::array();
  if (token.scopes.engine) scopes.push_back("engine");
  if (token.scopes.read) scopes.push_back("read");
  if (token.scopes.admin) scopes.push_back("admin");
  return {{"id", token.id},
          {"project", token.project},
          {"name", token.name},
          {"kind", to_string(token.kind)},
          {"scopes", std::move(scopes)},
          {"created", to_ms(token.created)},
          {"expires", json_of(token.expires)},
          {"revoked", json_of(token.revoked)}};
}

Json json_of(const PolicyEntry& entry) {
  return {{"version", entry.version},
          {"at", to_ms(entry.at)},
          {"who", entry.who},
          {"message", entry.message},
          {"active", entry.active}};
}

Json json_of(const wire::PolicyVersion& policy) {
  return {{"version", policy.version}, {"document", policy.document}};
}

Json json_of(const Pushed& pushed) { return {{"version", pushed.version}, {"new", pushed.is_new}}; }

Json json_of(const std::vector<Difference>& differences) {
  Json list = Json::array();
  for (const Difference& difference : differences) {
    Json& item =
        list.emplace_back(Json{{"kind", call::kind_name(difference)}, {"path", difference.path}});
    if (difference.before) item["before"] = *difference.before;
    if (difference.after) item["after"] = *difference.after;
  }
  return list;
}

template <typename T>
Result<Json> answer(const Result<T>& result) {
  if (!result.ok()) return result.error();
  return json_of(*result);
}

template <typename T>
Result<Json> answer(const Result<std::vector<T>>& result, const char* name) {
  if (!result.ok()) return result.error();
  Json list = Json::array();
  for (const T& item : *result) list.push_back(json_of(item));
  return Json{{name, std::move(list)}};
}

Result<std::uint64_t> whole(const Asked& asked, std::string_view name) {
  const double number = asked.args.number(name, 0);
  if (number >= 1 && number < 0x1p53 && number == std::trunc(number)) {
    return static_cast<std::uint64_t>(number);
  }
  return refused(fmt::format("`{}` must be a whole number, 1 or more", name));
}

Result<Format> format_of(const Asked& asked) {
  const std::string_view name = asked.args.text("format", "json");
  if (name == "json") return Format::json;
  if (name == "yaml") return Format::yaml;
  if (name == "toml") return Format::toml;
  return refused(fmt::format("`{}` is no format: use json, yaml or toml", name));
}

Result<Json> push(const Asked& asked) {
  const Result<Format> format = format_of(asked);
  if (!format.ok()) return format.error();
  return answer(asked.control.push(asked.project, asked.args.text("document"), *format, asked.who(),
                                   asked.args.text("message")));
}

Result<Json> versions(const Asked& asked) {
  return answer(asked.control.versions(asked.project), "versions");
}

Result<Json> document(const Asked& asked) {
  if (asked.args.find("version") == nullptr) {
    const auto active = asked.control.active_policy(asked.project);
    if (!active.ok()) return active.error();
    if (*active) return json_of(**active);
    return refused(fmt::format("the project `{}` has no policy yet: push one", asked.project));
  }
  const Result<std::uint64_t> version = whole(asked, "version");
  if (!version.ok()) return version.error();
  return answer(asked.control.policy(asked.project, *version));
}

Result<Json> diff(const Asked& asked) {
  const Result<std::uint64_t> before = whole(asked, "before");
  if (!before.ok()) return before.error();
  const Result<std::uint64_t> after = whole(asked, "after");
  if (!after.ok()) return after.error();
  const auto differences = asked.control.diff(asked.project, *before, *after);
  if (!differences.ok()) return differences.error();
  return Json{{"differences", json_of(*differences)}};
}

Result<Json> rollback(const Asked& asked) {
  const Result<std::uint64_t> version = whole(asked, "version");
  if (!version.ok()) return version.error();
  return answer(asked.control.rollback(asked.project, *version, asked.who()));
}

Result<Json> project_create(const Asked& asked) {
  return answer(asked.control.project_create(asked.args.text("name")));
}

/// Of those that the caller reaches.
Result<Json> project_list(const Asked& asked) {
  auto projects = asked.control.project_list();
  if (!projects.ok()) return std::move(projects).error();
  const bool reaches_all = asked.caller.project == default_project && asked.caller.scopes.admin;
  std::erase_if(*projects, [&](const Project& project) {
    return !reaches_all && project.name != asked.caller.project;
  });
  return answer(projects, "projects");
}

Result<Json> token_create(const Asked& asked) {
  std::string names;
  for (const std::string& name : asked.args.texts("scopes").value_or(std::vector<std::string>())) {
    if (!names.empty()) names += ',';
    names += name;
  }
  const Result<Scopes> scopes = read_scopes(names);
  if (!scopes.ok()) return scopes.error();
  const std::string_view kind = asked.args.text("kind", "live");
  if (kind != "live" && kind != "test") {
    return refused(fmt::format("`{}` is no kind of token: use live or test", kind));
  }
  const auto made =
      asked.control.token_create({.project = asked.project,
                                  .name = std::string(asked.args.text("name")),
                                  .scopes = *scopes,
                                  .kind = kind == "test" ? TokenKind::test : TokenKind::live,
                                  .expires = asked.args.moment("expires")});
  if (!made.ok()) return made.error();
  Json value = json_of(made->token);
  value["token"] = made->text;
  return value;
}

Result<Json> token_list(const Asked& asked) {
  return answer(asked.control.token_list(asked.project), "tokens");
}

Result<Json> token_revoke(const Asked& asked) {
  return answer(asked.control.token_revoke(asked.project, asked.args.text("id")));
}

constexpr Parameter push_parameters[] = {{"project", Kind::text},
                                         {"document", Kind::text, true},
                                         {"format", Kind::text},
                                         {"message", Kind::text}};
constexpr Parameter project_parameters[] = {{"project", Kind::text}};
constexpr Parameter version_parameters[] = {{"project", Kind::text}, {"version", Kind::number}};
constexpr Parameter diff_parameters[] = {
    {"project", Kind::text}, {"before", Kind::number, true}, {"after", Kind::number, true}};
constexpr Parameter rollback_parameters[] = {{"project", Kind::text},
                                             {"version", Kind::number, true}};
constexpr Parameter name_parameters[] = {{"name", Kind::text, true}};
constexpr Parameter token_parameters[] = {{"project", Kind::text},
                                          {"name", Kind::text, true},
                                          {"scopes", Kind::texts, true},
                                          {"kind", Kind::text},
                                          {"expires", Kind::moment}};
constexpr Parameter id_parameters[] = {{"project", Kind::text}, {"id", Kind::text, true}};

constexpr Parameter in_doubt_parameters[] = {{"project", Kind::text},
                                             {"customer", Kind::text},
                                             {"after", Kind::text},
                                             {"limit", Kind::number}};
constexpr Parameter release_parameters[] = {
    {"project", Kind::text}, {"customer", Kind::text, true}, {"engine", Kind::text}};

struct Operation {
  std::string_view name;
  bool is_reading = false;
  std::span<const Parameter> parameters = {};
  Result<Json> (*run)(const Asked&) = nullptr;  ///< None: a running server does it.
  bool is_for_default = false;                  ///< Only administrators of `default` may.
};

constexpr Operation operations[] = {
    {.name = "push", .parameters = push_parameters, .run = push},
    {.name = "versions", .is_reading = true, .parameters = project_parameters, .run = versions},
    {.name = "policy", .is_reading = true, .parameters = version_parameters, .run = document},
    {.name = "diff", .is_reading = true, .parameters = diff_parameters, .run = diff},
    {.name = "rollback", .parameters = rollback_parameters, .run = rollback},
    {.name = "project_create",
     .parameters = name_parameters,
     .run = project_create,
     .is_for_default = true},
    {.name = "project_list", .is_reading = true, .run = project_list},
    {.name = "token_create", .parameters = token_parameters, .run = token_create},
    {.name = "token_list", .is_reading = true, .parameters = project_parameters, .run = token_list},
    {.name = "token_revoke", .parameters = id_parameters, .run = token_revoke},
    {.name = "in_doubt_list", .is_reading = true, .parameters = in_doubt_parameters},
    {.name = "in_doubt_release", .parameters = release_parameters},
    {.name = "engines", .is_reading = true},
    {.name = "status", .is_reading = true},
};

const Operation* find_operation(std::string_view what) {
  const auto* found = std::ranges::find(operations, what, &Operation::name);
  return found == std::end(operations) ? nullptr : found;
}

Error out_of_reach(std::string message) {
  return {.code = ErrorCode::unauthorized, .message = std::move(message)};
}

/// The project that is meant, if the caller may.
Result<std::string> authorize(const Operation& operation, const Caller& caller,
                              const Arguments& args) {
  if (!caller.scopes.admin && !(operation.is_reading && caller.scopes.read)) {
    return out_of_reach(fmt::format("`{}` takes a token with the scope {}", operation.name,
                                    operation.is_reading ? "read or admin" : "admin"));
  }
  const policy::Node* named = args.find("project");
  if (named != nullptr && named->as_text() == nullptr)
    return refused("args.project: expected text");
  std::string project = named != nullptr ? *named->as_text() : caller.project;
  const bool is_foreign = operation.is_for_default || project != caller.project;
  if (is_foreign && (caller.project != default_project || !caller.scopes.admin)) {
    return out_of_reach(
        fmt::format("other projects than `{}` take an administrator's token of "
                    "the project `{}`",
                    caller.project, default_project));
  }
  return project;
}

Result<policy::Node> node_of(const Json& args) {
  if (!args.is_null() && !args.is_object()) return refused("`args` must be an object");
  return policy::to_node(args, {});
}

}  // namespace

bool is_reading(std::string_view what) {
  const Operation* operation = find_operation(what);
  return operation != nullptr && operation->is_reading;
}

Result<Json> run_admin(Control& control, const Caller& caller, std::string_view what,
                       const Json& args, const RunningServer& running) {
  const Operation* operation = find_operation(what);
  if (operation == nullptr) return refused(fmt::format("there is nothing to do called `{}`", what));
  const Result<policy::Node> node = node_of(args);
  if (!node.ok()) return refused(node.error().to_string());
  const policy::Node::Mapping* given = node->as_mapping();
  if (operation->run != nullptr || !operation->parameters.empty()) {
    const auto problem = call::check_arguments(given, operation->parameters, {}, "args");
    if (problem) return refused(fmt::format("{}: {}", problem->path, problem->message));
  }
  const Arguments arguments(given, control.now());
  const Result<std::string> project = authorize(*operation, caller, arguments);
  if (!project.ok()) return project.error();
  if (operation->run != nullptr) {
    return operation->run({control, caller, *project, arguments});
  }
  if (auto found = control.project_find(*project); !found.ok()) return std::move(found).error();
  if (!running) return refused(fmt::format("`{}` is asked of a running server", what));
  return running(what, *project, args);
}

}  // namespace limitr::server
