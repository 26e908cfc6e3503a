// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include <limitr/limitr.h>

#ifdef LIMITR_CLOUD

#include "cloud/cloud_store.h"
#include "cloud/link.h"
#include "engine/engine.h"
#include "engine/event_text.h"
#include "open/stored_types.h"
#include "policy/compile.h"

namespace limitr {
namespace {

cloud::LinkOptions link_options(const CloudOptions& options) {
  cloud::LinkOptions link{.token = options.token,
                          .address = options.address,
                          .policy = options.policy,
                          .deny_unconnected = options.deny_unconnected,
                          .connect_timeout = options.connect_timeout,
                          .ca_file = options.ca_file,
                          .limitr = std::string(Limitr::version()),
                          .log = options.engine.log};
  if (!link.log) {
    link.log = [](std::string_view message) { fmt::print(stderr, "limitr: {}\n", message); };
  }
  return link;
}

// Those that count of an engine whose state is a server's.
Options engine_options(Options given) {
  Options engine;
  engine.shared = true;
  engine.validate = given.validate;
  engine.bounds = given.bounds;
  engine.host = std::move(given.host);
  engine.clock = std::move(given.clock);
  engine.store_timeout = given.store_timeout;
  engine.max_unwritten = given.max_unwritten;
  engine.max_loaded = given.max_loaded;
  engine.log = std::move(given.log);
  return engine;
}

cloud::StoreOptions store_options(const CloudOptions& options) {
  return {.timeout = options.engine.store_timeout,
          .room_share = options.room,
          .denies_unconnected = options.deny_unconnected,
          .local_file = options.local_file};
}

Json plans_of(const policy::Policy& policy) {
  return policy.document.at("policy").value("plans", Json::object());
}

// What set_plan() and delete_plan() would have told of that change.
std::vector<Event> plan_events(const policy::Policy& before, const policy::Policy& after,
                               Timestamp now) {
  std::vector<Event> events;
  const Json old_plans = plans_of(before);
  const Json new_plans = plans_of(after);
  for (const auto& [name, plan] : new_plans.items()) {
    const auto old = old_plans.find(name);
    if (old != old_plans.end() && *old == plan) continue;
    events.push_back(engine::plan_event("plan-set", name, plan, now));
  }
  for (const auto& [name, plan] : old_plans.items()) {
    if (new_plans.contains(name)) continue;
    events.push_back(engine::plan_event("plan-removed", name, plan, now));
  }
  return events;
}

// Puts the server's new policy in force. One that cannot be leaves the one that is.
void take_policy(engine::Engine& engine, std::uint64_t version, const std::string& text) {
  const auto refuse = [&](const Error& error) {
    engine.log(fmt::format("version {} of the policy is not taken, and the one before stays: {}",
                           version, error.to_string()));
  };
  const Result<policy::Node> document = parse_stored_policy(text);
  if (!document.ok()) return refuse(document.error());
  engine::PolicyPointer before;
  engine::PolicyPointer after;
  {
    const std::lock_guard lock(engine.policy_change());
    policy::Compiled compiled =
        policy::compile(*document, engine.shared_names(), engine.options().validate);
    if (!compiled.policy) return refuse(policy::first_error(compiled.issues));
    for (const Issue& issue : compiled.issues) engine.log(issue.to_string());
    before = engine.policy();
    after = compiled.policy;
    engine.set_policy(after);
  }
  if (engine.dispatcher().has_handlers()) {
    engine.send(plan_events(*before, *after, engine.now()));
  }
}

}  // namespace

Result<Limitr> Limitr::cloud(CloudOptions options) {
  Result<std::unique_ptr<cloud::Link>> connected = cloud::Link::connect(link_options(options));
  if (!connected.ok()) return std::move(connected).error();
  std::unique_ptr<cloud::Link> link = *std::move(connected);
  const std::string text = link->policy().document;
  if (text.empty()) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = "the server has no policy yet: push one to it"};
  }
  const Result<policy::Node> document = parse_stored_policy(text);
  if (!document.ok()) return document.error();

  // It lives as long as the engine, whose store owns it.
  cloud::Notices& notices = link->notices();
  auto store = cloud::cloud_store(std::move(link), store_options(options));
  Result<Limitr> limitr =
      open_document(*document, engine_options(std::move(options.engine)), std::move(store));
  if (!limitr.ok()) return limitr;
  engine::Engine& engine = *limitr->engine_;
  engine.leave_policy_to_server([&notices] { notices.on_policy(nullptr); });
  notices.on_policy(
      [&engine](const auto& policy) { take_policy(engine, policy.version, policy.document); });
  return limitr;
}

}  // namespace limitr

#else

namespace limitr {

Result<Limitr> Limitr::cloud(CloudOptions) {
  return Error{.code = ErrorCode::invalid_argument,
               .message = "this build has no Cloud client: build it with LIMITR_CLOUD=ON"};
}

}  // namespace limitr

#endif
