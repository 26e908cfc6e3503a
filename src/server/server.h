// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <limitr/policy.h>
#include <limitr/result.h>
#include "server/listener.h"
#include "server/rows.h"

namespace limitr::server {

struct PolicyText {
  std::string text;
  Format format = Format::yaml;
};

struct ServeOptions {
  std::string store = "sqlite:limitr.db";
  /// A file whose policy is the one of the project `default`, also when it changes; or empty.
  std::string policy_file = {};
  /// Reads that file.
  std::function<Result<PolicyText>()> read_policy = {};
  ListenerOptions listen;
  Millis lease{4'000};
  std::size_t max_requests = 256;        ///< On their way, of one connection.
  std::size_t max_inbound = 256 << 20U;  ///< Bytes of all messages that wait for the store.
  std::size_t max_failed_attempts = 30;  ///< Tokens that are no good, from one address in a minute.
};

struct Ready {
  std::string url;
  std::optional<std::string> first_token;  ///< Where there was none at all.
};

/// Serves until SIGTERM or SIGINT, then lets everyone finish, and says what was written. `ready` is
/// called when engines can come. Errors, with nothing served: what is wrong with the options, the
/// store or the policy; store_owned and store_fenced also later, when another has taken the store.
Result<RowCounts> serve(const ServeOptions& options,
                        const std::function<void(const Ready&)>& ready);

}  // namespace limitr::server
