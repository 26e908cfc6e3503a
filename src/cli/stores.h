// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <limitr/limitr.h>
#include <limitr/options.h>
#include <limitr/policy.h>
#include <limitr/result.h>
#include "open/stored.h"
#include "policy/document.h"

// How the commands come to what a store keeps. What only reads never owns the store; what writes
// owns it from its beginning to its end.
namespace limitr::cli {

/// What every command on a store is told.
struct StoreUse {
  std::string url;
  std::string policy;            ///< A policy file that overrides the stored one, or empty.
  std::optional<Format> format;  ///< Its format; unset: by its ending.
  DocumentBounds bounds;         ///< Of that file.
  Durability durability = Durability::sync;
  bool accept_weaker = false;
  std::size_t max_loaded = 0;  ///< As of Options.
};

/// An engine that owns the store. Errors say what to do, and name an owner that is alive.
Result<Limitr> open_to_write(const StoreUse& use);

/// The policy of the file that was named, or none.
Result<std::optional<policy::Node>> policy_of(const StoreUse& use);

/// The store to be read, and the policy to read it with.
struct ToRead {
  StoredState stored;
  std::optional<policy::Node> policy;  ///< None: the stored one.
};
/// With the policy in force, where it is a Cloud server's store and no other was named.
Result<ToRead> open_to_read(const StoreUse& use);

/// The policy that the store keeps or, where it is a Cloud server's, the one in force there; as
/// JSON text. Errors: invalid_argument: there is none.
Result<std::string> kept_policy(const StoredState& stored, const std::string& url);

/// An engine that knows these customers as the store has them now, and whoever their refs reach.
/// Those that are damaged are named on standard error, and missing.
Result<Limitr> engine_of(ToRead& store, const StoreUse& use, std::span<const std::string> ids);

/// Names each on standard error, on a line of its own.
void name_damage(std::span<const Error> damage);

}  // namespace limitr::cli
