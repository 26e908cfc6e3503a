// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string_view>

#include <limitr/json.h>
#include <limitr/result.h>
#include "server/control.h"

// What administrators ask of a server: the messages `admin` of docs/protocol.md.
namespace limitr::server {

/// Whether the scope `read` is enough for it.
bool is_reading(std::string_view what);

/// What only a running server can do: in_doubt_list, in_doubt_release, engines, status. It is
/// called for a project that the caller may reach, with the scope that it takes.
using RunningServer =
    std::function<Result<Json>(std::string_view what, std::string_view project, const Json& args)>;

/// Does it, and gives the `value` of the answer. `project` in the arguments names another project
/// than the caller's own, for which the caller must be an administrator of `default`.
///
/// Of what is made by token_create the answer has the token: it must not be logged.
///
/// Errors: unauthorized: the scope or the project is out of reach; invalid_argument: the arguments
/// are wrong, or there is nothing of that name to do; and those of Control. Threads: any; blocks.
Result<Json> run_admin(Control& control, const Caller& caller, std::string_view what,
                       const Json& args, const RunningServer& running = {});

}  // namespace limitr::server
