// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include <limitr/policy.h>
#include "server/server.h"

namespace limitr::cli {

/// The command `serve`: what it takes, and what that is kept in.
class ServeUsage {
public:
  /// Adds the command. REQUIRES: this outlives the parsing.
  void add_to(CLI::App& app);
  /// Serves until a signal ends it.
  int run() const;

private:
  void add_bounds(CLI::App& command);

  server::ServeOptions options_;
  std::optional<Format> format_;  // of the policy
};

}  // namespace limitr::cli
