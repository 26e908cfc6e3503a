// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/limitr.h>
#include "cli/scenario/scenario.h"

namespace limitr::scenario {

/// Where a session's engine keeps its state.
struct Keep {
  std::string store = {};  ///< A URL; empty: nowhere.
  bool shared = false;     ///< As Options::shared.
};

/// An engine that a scenario is played on, with its clock, its host functions and what it said.
/// Threads: one at a time.
class Session {
public:
  /// Opens the scenario's policy and loads its customers. `scenario` must outlive the session.
  /// Errors, with the file that they are about: those of Limitr::open(), load_customers() and its
  /// first refused record; io_failed, where a file is named.
  static Result<std::unique_ptr<Session>> open(const Scenario& scenario, Keep keep = {});
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  Limitr& engine() { return *engine_; }
  void set_time(Timestamp now);

  void name_hold(std::string_view label, std::string id);

  /// Makes a call of the engine, or `restart`. Here a policy or records may be the path of a file,
  /// and a hold the label that a step gave it.
  call::Answer make(const call::CallKind& kind, const call::Arguments& arguments);

  /// Takes a snapshot, opens a new engine on the same policy, and loads it: all that is exported,
  /// or only what customers() gives. On a store the engine is closed and opened again: it has all
  /// of its customers back, and the report says nothing.
  Result<LoadReport> restart(bool customers_only);
  /// Lets go of the store: how many records were written to it.
  Result<std::uint64_t> close();

  /// What handlers saw and the log said since the last call of this.
  std::vector<Event> take_events();
  std::vector<std::string> take_log();

private:
  class StepClock;
  struct Recorder;
  struct PolicyText {
    std::string text;
    Format format;
    std::filesystem::path file;  ///< Empty: it stands in the scenario, or was changed since.
  };

  Session(const Scenario& scenario, Keep keep);
  Result<PolicyText> policy_text(const policy::Node& node) const;
  /// An error of a policy, with the file in front that the policy stands in.
  Error in_policy(Error error, const PolicyText& policy) const;
  Result<void> start();
  Result<void> load(const policy::Node& customers);
  Result<void> set_policy(const policy::Node& policy);
  /// Customer records: a document, or the path of one. As text for the engine.
  Result<std::string> records(const policy::Node& node) const;
  /// The hold that a label stands for, or the label itself where no step made it.
  std::string_view hold(std::string_view label) const;
  Options options() const;

  const Scenario& scenario_;
  const Keep keep_;
  std::uint64_t written_ = 0;  // records, by the engines that were closed
  std::shared_ptr<StepClock> clock_;
  std::shared_ptr<Recorder> recorder_;
  HostFunctions host_;
  PolicyText policy_;
  std::optional<Limitr> engine_;
  std::map<std::string, std::string, std::less<>> holds_;
};

}  // namespace limitr::scenario
