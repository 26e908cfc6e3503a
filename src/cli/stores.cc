// SPDX-License-Identifier: Apache-2.0
#include "cli/stores.h"

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/policy_file.h"
#include "cli/scenario/text_file.h"
#include "cli/terminal.h"
#include "open/stored_types.h"

#ifdef LIMITR_CLOUD
#include "cli/cloud.h"
#endif

namespace limitr::cli {
namespace {

void log(std::string_view message) { print_to(stderr, "limitr: {}\n", message); }

// What StoredState says of a store without one.
constexpr std::string_view no_policy = "the store keeps no policy: give one";

// What to do about it, where the error itself does not know of options.
Error explained(Error error, const StoreUse& use) {
  if (error.message == no_policy) {
    error.message = fmt::format(
        "`{}` keeps no policy: give one with --policy; `limitr versions` "
        "prints those of a server's projects",
        use.url);
  }
  if (error.code == ErrorCode::invalid_argument && use.policy.empty() &&
      error.message.ends_with("there is no such file to read")) {
    error.message += "; to begin a store, give a policy with --policy";
  }
  if (error.code == ErrorCode::store_owned) {
    error.message += "; commands that only read work meanwhile";
  }
  if (error.code == ErrorCode::store_weaker) error.message += " (--accept-weaker)";
  return error;
}

Options options_of(const StoreUse& use) {
  Options options;
  options.bounds = use.bounds;
  options.durability = use.durability;
  options.accept_weaker = use.accept_weaker;
  options.max_loaded = use.max_loaded;
  options.store = use.url;
  options.log = log;
  return options;
}

}  // namespace

Result<std::optional<policy::Node>> policy_of(const StoreUse& use) {
  if (use.policy.empty()) return std::optional<policy::Node>();
  auto file = read_policy(use.policy, use.format, use.bounds);
  if (!file.ok()) return file.error();
  auto document = policy::parse_document(file->text, file->format, use.bounds);
  if (!document.ok()) return scenario::in_file(document.error(), use.policy);
  return std::optional(*std::move(document));
}

Result<Limitr> open_to_write(const StoreUse& use) {
  const auto policy = policy_of(use);
  if (!policy.ok()) return policy.error();
  Result<Limitr> limitr = policy->has_value() ? open_with_document(**policy, options_of(use))
                                              : Limitr::open_stored(options_of(use));
  if (limitr.ok()) return limitr;
  Error error = explained(std::move(limitr).error(), use);
  if (error.code == ErrorCode::policy_invalid && policy->has_value()) {
    return scenario::in_file(std::move(error), use.policy);
  }
  return error;
}

Result<ToRead> open_to_read(const StoreUse& use) {
  auto policy = policy_of(use);
  if (!policy.ok()) return std::move(policy).error();
  Result<StoredState> stored = StoredState::open(use.url);
  if (!stored.ok()) return std::move(stored).error();
  if (!policy->has_value() && !stored->opened().policy) {
    // Without one, much can be read all the same.
    if (const auto text = kept_policy(*stored, use.url); text.ok()) {
      Result<policy::Node> document = parse_stored_policy(*text);
      if (!document.ok()) return std::move(document).error();
      policy = std::optional(*std::move(document));
    }
  }
  return ToRead{.stored = *std::move(stored), .policy = *std::move(policy)};
}

Result<std::string> kept_policy(const StoredState& stored, const std::string& url) {
  Result<std::string> kept = stored.policy();
  if (kept.ok() || kept.error().message != no_policy) return kept;
#ifdef LIMITR_CLOUD
  auto in_force = policy_of_server(url);
  if (!in_force.ok()) return std::move(in_force).error();
  if (*in_force) return **std::move(in_force);
#endif
  StoreUse use;
  use.url = url;
  return explained(std::move(kept).error(), use);
}

Result<Limitr> engine_of(ToRead& store, const StoreUse& use, std::span<const std::string> ids) {
  std::vector<Error> damage;
  Result<Limitr> limitr =
      store.stored.engine_of(ids, store.policy ? &*store.policy : nullptr, options_of(use), damage);
  name_damage(damage);
  if (limitr.ok()) return limitr;
  Error error = explained(std::move(limitr).error(), use);
  if (error.code == ErrorCode::policy_invalid && store.policy) {
    return scenario::in_file(std::move(error), use.policy);
  }
  return error;
}

void name_damage(std::span<const Error> damage) {
  for (const Error& error : damage) trouble(error.to_string());
}

}  // namespace limitr::cli
