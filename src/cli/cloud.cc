// SPDX-License-Identifier: Apache-2.0
#include "cli/cloud.h"

#include <array>
#include <climits>
#include <memory>
#include <utility>

#include <pwd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cli/cloud_server.h"
#include "server/admin.h"
#include "server/control.h"
#include "server/in_doubt.h"

namespace limitr::cli {
namespace {

std::string user_name() {
  ::passwd entry{};
  ::passwd* found = nullptr;
  std::array<char, 4096> space{};
  if (::getpwuid_r(::geteuid(), &entry, space.data(), space.size(), &found) != 0 ||
      found == nullptr) {
    return fmt::format("user {}", ::geteuid());
  }
  return found->pw_name;
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> host{};
  return ::gethostname(host.data(), HOST_NAME_MAX) == 0 ? host.data() : "?";
}

/// Who has the files has all of it.
server::Caller this_user() {
  return {.token_id = {},
          .token_name = fmt::format("{}@{}", user_name(), host_name()),
          .project = std::string(server::default_project),
          .scopes = {.engine = true, .read = true, .admin = true}};
}

}  // namespace

Result<Json> ask(const CloudUse& use, std::string_view what, Json args) {
  if (use.store.empty() == use.address.empty()) {
    return Error{
        .code = ErrorCode::invalid_argument,
        .message = "say where: the --store of a server, or the --address of one that runs"};
  }
  if (!use.project.empty()) args["project"] = use.project;
  if (!use.address.empty()) return ask_server(use, what, args);
  // A name that is mistyped makes no server.
  const auto control = what == "project_create" ? server::Control::open(use.store)
                                                : server::Control::open_existing(use.store);
  if (!control.ok()) return control.error();
  const auto on_rows = [&](std::string_view asked, std::string_view project,
                           const Json& given) -> Result<Json> {
    if (!asked.starts_with("in_doubt_")) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("`{}` is asked of a running server", asked)};
    }
    auto done = server::run_in_doubt(
        (*control)->store_url_of(project),
        {.host = host_name(), .process = ::getpid(), .since = system_clock()->now()}, asked, given);
    if (done.ok() || done.error().code != ErrorCode::store_owned) return done;
    Error error = std::move(done).error();
    error.message += "; a server that runs is asked with --address";
    return error;
  };
  return server::run_admin(**control, this_user(), what, args, on_rows);
}

Result<std::optional<std::string>> policy_of_server(std::string_view store) {
  const auto control = server::Control::open_existing(store);
  if (!control.ok()) {
    // Most stores are no server's.
    if (control.error().code != ErrorCode::invalid_argument) return control.error();
    return std::optional<std::string>();
  }
  auto active = (*control)->active_policy(server::default_project);
  if (!active.ok()) return std::move(active).error();
  if (!*active) return std::optional<std::string>();
  return std::optional(std::move((*active)->document));
}

}  // namespace limitr::cli
