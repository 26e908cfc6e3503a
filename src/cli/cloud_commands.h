// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <limitr/policy.h>
#include "cli/cloud.h"

// The commands on a server's policies, tokens and projects. As those of command.h: each prints, and
// returns the exit code.
namespace limitr::cli {

struct PushOptions {
  CloudUse use;
  std::string file;
  std::optional<Format> format;
  std::string message;
};
int push(const PushOptions& options);

struct VersionsOptions {
  CloudUse use;
  std::optional<std::uint64_t> version;  ///< To print. With `other`: to compare with.
  std::optional<std::uint64_t> other;
};
int versions(const VersionsOptions& options);

struct RollbackOptions {
  CloudUse use;
  std::uint64_t version = 0;
};
int roll_back(const RollbackOptions& options);

struct TokenOptions {
  CloudUse use;
  std::string name;
  std::vector<std::string> scopes;
  std::string kind = "live";
  std::string expires;  ///< A moment as text, or empty.
  std::string id;
};
int create_token(const TokenOptions& options);
int list_tokens(const TokenOptions& options);
int revoke_token(const TokenOptions& options);

struct ProjectOptions {
  CloudUse use;
  std::string name;
};
int create_project(const ProjectOptions& options);
int list_projects(const ProjectOptions& options);

struct InDoubtOptions {
  CloudUse use;
  std::string customer;  ///< Of a list: empty: all.
  std::string engine;    ///< To release only what is in doubt of that one; or empty.
};
int list_in_doubt(const InDoubtOptions& options);
int release_in_doubt(const InDoubtOptions& options);

}  // namespace limitr::cli
