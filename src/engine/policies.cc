// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"
#include "engine/event_text.h"
#include "policy/compile.h"

namespace limitr {

using engine::Engine;
using engine::PolicyPointer;

namespace {

// Errors: invalid_argument, where the policy is a server's.
Result<void> may_change(const Engine& engine) {
  if (!engine.is_policy_servers()) return {};
  return Error{.code = ErrorCode::invalid_argument,
               .message = "the policy is the Cloud server's: push the change to the server"};
}

// Compiles a document under the engine's names and options, and puts it in place. Warnings are
// logged. REQUIRES: policy_change() is held.
Result<void> take_over(Engine& engine, const policy::Node& document) {
  policy::Compiled compiled =
      policy::compile(document, engine.shared_names(), engine.options().validate);
  if (!compiled.policy) return policy::first_error(compiled.issues);
  for (const Issue& issue : compiled.issues) engine.log(issue.to_string());
  engine.set_policy(compiled.policy);
  engine.keep_policy(policy::json_text(document));
  return {};
}

Result<void> take_over(Engine& engine, const Json& document) {
  Result<policy::Node> node = policy::to_node(document, engine.options().bounds);
  if (!node.ok()) return std::move(node).error();
  return take_over(engine, *node);
}

}  // namespace

Result<void> Limitr::set_policy(std::string_view policy, Format format) {
  if (auto may = may_change(*engine_); !may.ok()) return may;
  Result<limitr::policy::Node> document =
      limitr::policy::parse_document(policy, format, engine_->options().bounds);
  if (!document.ok()) return std::move(document).error();
  const std::lock_guard lock(engine_->policy_change());
  return take_over(*engine_, *document);
}

Result<void> Limitr::set_policy_json(const Json& policy) {
  if (auto may = may_change(*engine_); !may.ok()) return may;
  const std::lock_guard lock(engine_->policy_change());
  return take_over(*engine_, policy);
}

Result<void> Limitr::set_plan(std::string_view name, const Json& plan) {
  if (auto may = may_change(*engine_); !may.ok()) return may;
  if (name.empty()) {
    return Error{.code = ErrorCode::invalid_argument, .message = "a plan needs a name"};
  }
  {
    const std::lock_guard lock(engine_->policy_change());
    Json document = engine_->policy()->document;
    document["policy"]["plans"][std::string(name)] = plan;
    if (auto taken = take_over(*engine_, document); !taken.ok()) return taken;
  }
  if (engine_->dispatcher().has_handlers()) {
    engine_->send({engine::plan_event("plan-set", name, plan, engine_->now())});
  }
  return {};
}

Result<bool> Limitr::delete_plan(std::string_view name) {
  if (auto may = may_change(*engine_); !may.ok()) return std::move(may).error();
  Json plan;
  {
    const std::lock_guard lock(engine_->policy_change());
    Json document = engine_->policy()->document;
    Json& plans = document["policy"]["plans"];
    const auto found = plans.is_object() ? plans.find(std::string(name)) : plans.end();
    if (found == plans.end()) return false;
    plan = *found;
    plans.erase(found);
    if (auto taken = take_over(*engine_, document); !taken.ok()) return std::move(taken).error();
  }
  if (engine_->dispatcher().has_handlers()) {
    engine_->send({engine::plan_event("plan-removed", name, plan, engine_->now())});
  }
  return true;
}

Result<void> Limitr::set_notifications(const Json& notifications) {
  if (auto may = may_change(*engine_); !may.ok()) return may;
  const std::lock_guard lock(engine_->policy_change());
  Json document = engine_->policy()->document;
  document["policy"]["notifications"] = notifications;
  return take_over(*engine_, document);
}

Json Limitr::policy() const { return engine_->policy()->document; }

void Limitr::add_handler(std::string_view name, Handler handler) {
  engine_->dispatcher().add(name, std::move(handler));
}

bool Limitr::remove_handler(std::string_view name) { return engine_->dispatcher().remove(name); }

void Limitr::clear_handlers() { engine_->dispatcher().clear(); }

}  // namespace limitr
