// SPDX-License-Identifier: Apache-2.0
#include "server/metrics.h"

#include <utility>

#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace limitr::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

/// One figure, with a sample for each value of its label.
class Sampled {
public:
  Sampled(std::string name, std::string help, MetricType type)
      : family_{std::move(name), std::move(help), type, {}} {}

  Sampled& add(double value, std::vector<ClientMetric::Label> labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    metric.counter.value = value;
    family_.metric.push_back(std::move(metric));
    return *this;
  }
  MetricFamily family() && { return std::move(family_); }

private:
  MetricFamily family_;
};

Sampled gauge(std::string name, std::string help) {
  return {"limitr_" + std::move(name), std::move(help), MetricType::Gauge};
}
Sampled counter(std::string name, std::string help) {
  return {"limitr_" + std::move(name) + "_total", std::move(help), MetricType::Counter};
}

double number(auto count) { return static_cast<double>(count); }

void add_projects(const std::vector<ProjectFigures>& projects, std::vector<MetricFamily>& all) {
  Sampled sessions = gauge("sessions", "WebSocket connections");
  Sampled leases = gauge("leases", "Engines whose lease runs");
  Sampled policy = gauge("policy_version", "The active version of the policy; 0: none");
  Sampled requests = counter("requests", "Messages received, by type");
  Sampled failed = counter("requests_failed", "Requests answered with an error");
  Sampled recalled =
      counter("recalled_customers", "Customers that engines were asked to give back");
  Sampled in_doubt = gauge("in_doubt_customers", "Customers of whom units are in doubt");
  Sampled units = gauge("in_doubt_units", "Units that are in doubt, of meters or of caps");
  Sampled released =
      gauge("released_units", "Units that were released, and may be used beyond a limit still");
  Sampled away =
      gauge("engines_away_serving", "Engines that may answer without a connection, and have none");
  for (const ProjectFigures& one : projects) {
    const ClientMetric::Label project{"project", one.project};
    sessions.add(number(one.sessions), {project});
    leases.add(number(one.leases), {project});
    policy.add(number(one.policy_version), {project});
    in_doubt.add(number(one.in_doubt.customers), {project});
    units.add(one.in_doubt.units.meters, {project, {"of", "meters"}});
    units.add(one.in_doubt.units.caps, {project, {"of", "caps"}});
    released.add(one.in_doubt.released.meters, {project, {"of", "meters"}});
    released.add(one.in_doubt.released.caps, {project, {"of", "caps"}});
    away.add(number(one.away_serving), {project});
    failed.add(number(one.counts.failed), {project});
    recalled.add(number(one.counts.recalled), {project});
    for (std::size_t type = 0; type < request_types; ++type) {
      requests.add(number(one.counts.requests.at(type)),
                   {project, {"type", std::string(request_names.at(type))}});
    }
  }
  for (Sampled* each : {&sessions, &leases, &policy, &requests, &failed, &recalled, &in_doubt,
                        &units, &released, &away}) {
    all.push_back(std::move(*each).family());
  }
}

void add_rows(const std::vector<RowFigures>& rows, std::vector<MetricFamily>& all) {
  Sampled customers = gauge("customers", "Customers in the store");
  Sampled commits = counter("store_commits", "Batches that the store has taken");
  Sampled written = counter("transactions_written", "Transactions that were taken");
  Sampled conflicts =
      counter("transactions_conflicting", "Transactions refused as rows had changed");
  Sampled changed = counter("customers_written", "Rows written or removed");
  for (const RowFigures& one : rows) {
    const ClientMetric::Label project{"project", one.project};
    customers.add(number(one.customers), {project});
    commits.add(number(one.counts.commits), {project});
    written.add(number(one.counts.transactions), {project});
    conflicts.add(number(one.counts.conflicts), {project});
    changed.add(number(one.counts.customers), {project});
  }
  for (Sampled* each : {&customers, &commits, &written, &conflicts, &changed}) {
    all.push_back(std::move(*each).family());
  }
}

}  // namespace

struct Metrics::Parts {
  prometheus::Histogram exchanges{prometheus::Histogram::BucketBoundaries{
      0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10}};
};

Metrics::Metrics() : parts_(std::make_unique<Parts>()) {}
Metrics::~Metrics() = default;

void Metrics::exchanged(std::chrono::nanoseconds took) {
  parts_->exchanges.Observe(std::chrono::duration<double>(took).count());
}

std::string Metrics::text(const Figures& figures) const {
  std::vector<MetricFamily> all;
  all.push_back(
      std::move(
          gauge("connections", "Open connections, HTTP ones too").add(number(figures.connections)))
          .family());
  all.push_back(std::move(counter("tokens_refused", "Tokens and tickets that were no good")
                              .add(number(figures.refused_tokens)))
                    .family());
  Sampled closed = counter("sessions_closed", "WebSocket connections that the server closed");
  for (const auto& [code, count] : figures.closed) {
    closed.add(number(count), {{"code", std::to_string(code)}});
  }
  all.push_back(std::move(closed).family());
  add_projects(figures.projects, all);
  add_rows(figures.rows, all);
  MetricFamily exchanges{"limitr_store_exchange_seconds",
                         "How long the store has taken for a batch of transactions",
                         MetricType::Histogram,
                         {parts_->exchanges.Collect()}};
  all.push_back(std::move(exchanges));
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace limitr::server
