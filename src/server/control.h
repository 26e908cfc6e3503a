// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/policy.h>
#include <limitr/result.h>
#include <limitr/time.h>
#include "server/token.h"
#include "wire/messages.h"

namespace limitr::server {

/// The project that is always there. Its administrators reach the others too.
inline constexpr std::string_view default_project = "default";

/// Who a token speaks for.
struct Caller {
  std::string token_id;  ///< Empty: nobody who came with one, but who has the files.
  std::string token_name;
  std::string project;
  Scopes scopes;
  std::optional<Timestamp> expires = {};
};

/// What is known of a token: never the token itself.
struct Token {
  std::string id = {};
  std::string project = {};
  std::string name = {};
  TokenKind kind = TokenKind::live;
  Scopes scopes = {};
  Timestamp created = {};
  std::optional<Timestamp> expires = {};
  std::optional<Timestamp> revoked = {};
};

struct NewToken {
  std::string project = std::string(default_project);
  std::string name = {};  ///< 1 to 200 bytes on one line, for people.
  Scopes scopes = {};     ///< At least one.
  TokenKind kind = TokenKind::live;
  std::optional<Timestamp> expires = {};
};

struct CreatedToken {
  Token token;
  std::string
      text;  ///< What its holder shows. It is kept nowhere: this is the only time to see it.
};

struct Project {
  std::string name;
  Timestamp created = {};
};

/// A version of a project's policy. The newest is the active one.
struct PolicyEntry {
  std::uint64_t version = 0;
  Timestamp at = {};
  std::string who = {};
  std::string message = {};
  bool active = false;
};

struct Pushed {
  std::uint64_t version = 0;  ///< Of the active policy now.
  bool is_new = false;        ///< Off: it said the same already, and nothing was changed.
};

/// What a Cloud server knows besides customers: projects, their tokens, the versions of their
/// policies. It is kept beside the customers, and any number of processes may use it at once: where
/// the store is sqlite:PATH in PATH-cloud.db, where it is a PostgreSQL schema in tables of their
/// own there.
///
/// Every function fails with store_unavailable where what is kept cannot be had: nothing was
/// changed, try again; with outcome_unknown where a connection broke while a change was being made;
/// with data_corrupt where it is damaged. Where a project, token or version is named that is not
/// there: invalid_argument. Threads: any; blocks for a statement, or a write of another process.
class Control {
public:
  /// Beside the customers of that URL; what is missing is made. Errors also: invalid_argument: a
  /// store of that kind has no such place, it is another program's, or a newer limitr wrote it.
  static Result<std::unique_ptr<Control>> open(std::string_view store_url,
                                               std::shared_ptr<const Clock> clock = system_clock());
  /// The same, but nothing is made. Errors also: invalid_argument: nothing is there.
  static Result<std::unique_ptr<Control>> open_existing(std::string_view store_url);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();

  /// Errors also: unauthorized: mistyped, unknown, expired or revoked, as the message says, which
  /// does not have the token in it.
  Result<Caller> authenticate(std::string_view token);
  /// Whether a token that was authenticated may be used on. Ask again when change_count() changes.
  Result<bool> is_valid(std::string_view token_id, Timestamp now);

  /// Named by 1 to 40 of a-z, 0-9 and `-`. Errors also: invalid_argument: there is one already.
  Result<Project> project_create(std::string_view name);
  Result<std::vector<Project>> project_list();
  /// invalid_argument where there is no such project.
  Result<void> project_find(std::string_view name);

  Result<CreatedToken> token_create(const NewToken& token);
  /// In the order in which they were made, revoked ones too.
  Result<std::vector<Token>> token_list(std::string_view project);
  /// One that is revoked already stays as it is.
  Result<Token> token_revoke(std::string_view project, std::string_view id);

  /// Makes a policy the active one, as a new version. Errors also: policy_invalid with all problems
  /// in its message; document_too_large.
  Result<Pushed> push(std::string_view project, std::string_view document, Format format,
                      std::string_view who, std::string_view message = {});
  /// Makes the document of an earlier version the active one, as a new version.
  Result<Pushed> rollback(std::string_view project, std::uint64_t version, std::string_view who);
  /// Newest first.
  Result<std::vector<PolicyEntry>> versions(std::string_view project);
  Result<wire::PolicyVersion> policy(std::string_view project, std::uint64_t version);
  /// None: nothing was pushed yet.
  Result<std::optional<wire::PolicyVersion>> active_policy(std::string_view project);
  Result<std::vector<Difference>> diff(std::string_view project, std::uint64_t before,
                                       std::uint64_t after);

  /// Another number after any change by any process. Cheap enough to ask a few times a second.
  Result<std::uint64_t> change_count();

  /// By the clock that it was opened with.
  Timestamp now() const;

  /// The URL of the store that has a project's customers. Those of `default` are where the server
  /// was told; the others' are kept apart: PATH with `.NAME` before its ending, or a schema with
  /// `_NAME` behind its name.
  std::string store_url_of(std::string_view project) const;

private:
  struct Parts;
  explicit Control(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace limitr::server
