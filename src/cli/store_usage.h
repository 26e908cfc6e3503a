// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "cli/store_commands.h"

namespace limitr::cli {

/// The commands on a store: what they are called, what they take, and what that is kept in.
class StoreUsage {
public:
  /// Adds the commands. REQUIRES: this outlives the parsing.
  void add_to(CLI::App& app);
  /// Runs the command of that name; none where it is not one of these.
  std::optional<int> run(const std::string& name) const;

private:
  CLI::App& add(CLI::App& app, const std::string& name, const std::string& what,
                std::string_view examples, std::function<int()> play);
  void add_calls(CLI::App& app);
  void add_holds(CLI::App& app);
  void add_changes(CLI::App& app);
  void add_lists(CLI::App& app);
  void add_transfers(CLI::App& app);
  void add_looks(CLI::App& app);

  CallWords call_;
  ChangeWords change_;
  CustomersOptions customers_;
  CustomerOptions customer_;
  ExportOptions export_;
  ImportFileOptions import_;
  LookOptions look_;
  std::map<std::string, std::function<int()>> commands_;
};

/// Adds --store, which the command needs unless it is `optional`.
void add_store(CLI::App& command, std::string& url, bool optional = false);

}  // namespace limitr::cli
