// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "cli/cloud_commands.h"

namespace limitr::cli {

/// The commands on a server: what they are called, what they take, and what that is kept in.
class CloudUsage {
public:
  /// Adds the commands. REQUIRES: this outlives the parsing.
  void add_to(CLI::App& app);
  /// Runs what was asked of the command; none where it is not one of these.
  std::optional<int> run(const CLI::App& command) const;

private:
  CLI::App& add(CLI::App& parent, const std::string& name, const std::string& what, CloudUse& use,
                bool has_project, std::function<int()> play);
  void add_policies(CLI::App& app);
  void add_tokens(CLI::App& app);
  void add_projects(CLI::App& app);
  void add_in_doubt(CLI::App& app);

  PushOptions push_;
  VersionsOptions versions_;
  RollbackOptions rollback_;
  TokenOptions token_;
  ProjectOptions project_;
  InDoubtOptions in_doubt_;
  std::map<const CLI::App*, std::function<int()>> commands_;
};

}  // namespace limitr::cli
