// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/hub.h"
#include "server/in_doubt.h"
#include "server/keeper.h"

namespace limitr::server {

struct ProjectFigures {
  std::string project;
  std::size_t sessions = 0;
  std::size_t leases = 0;
  std::uint64_t policy_version = 0;
  std::size_t away_serving = 0;
  InDoubtFigures in_doubt;
  HubCounts counts;
};

/// What /metrics shows, as of one moment.
struct Figures {
  std::size_t connections = 0;  ///< Of HTTP too.
  std::uint64_t refused_tokens = 0;
  std::map<unsigned, std::uint64_t> closed;  ///< Connections that we closed, by code.
  std::vector<ProjectFigures> projects;
  std::vector<RowFigures> rows;
};

/// Threads: any.
class Metrics {
public:
  Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  ~Metrics();

  /// How long the store has taken for a batch.
  void exchanged(std::chrono::nanoseconds took);
  /// In the text format of Prometheus.
  std::string text(const Figures& figures) const;

private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace limitr::server
