// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <limitr/json.h>
#include <limitr/result.h>

// How the commands come to what a Cloud server knows besides customers.
namespace limitr::cli {

/// What every such command is told.
struct CloudUse {
  std::string store;    ///< The URL of the server's store: it is changed there. Or empty.
  std::string address;  ///< Of a running server, which is asked. Or empty.
  std::string token;    ///< For the server; empty: LIMITR_TOKEN of the environment.
  std::string ca_file;  ///< Certificates that https:// trusts; empty: the system's.
  std::string project;  ///< Empty: the token's own, or `default`.
  bool json = false;
};

/// Has it done, as an `admin` message of docs/protocol.md says. Errors: those of the message, and
/// where neither a store nor a server can be had.
Result<Json> ask(const CloudUse& use, std::string_view what, Json args);

/// The policy in force of the server whose project `default` has its customers in that store, as
/// JSON text; none: it is no server's, or the server has no policy yet.
Result<std::optional<std::string>> policy_of_server(std::string_view store);

}  // namespace limitr::cli
