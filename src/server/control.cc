// SPDX-License-Identifier: Apache-2.0
#include "server/control.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "base/amount.h"
#include "base/json_writer.h"
#include "policy/document.h"
#include "server/control_database.h"
#include "store/checksum.h"

#ifdef LIMITR_POSTGRES
#include "store/postgres/address.h"
#endif

namespace limitr::server {
namespace {

constexpr std::size_t project_name_max = 40;
constexpr std::size_t note_max = 200;
constexpr std::size_t id_digits = 16;

constexpr std::string_view token_columns =
    "id, project, name, kind, scopes, hash, created, expires, revoked, checksum";
constexpr std::string_view policy_columns =
    "version, document, at, who, message, checksum, project";

Error wrong(std::string message) {
  return {.code = ErrorCode::invalid_argument, .message = std::move(message)};
}

Error damaged(std::string_view what) {
  return {.code = ErrorCode::data_corrupt,
          .message = fmt::format("{} is not what was written: restore a backup", what)};
}

bool is_project_name(std::string_view name) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !name.empty() && name.size() <= project_name_max && std::ranges::all_of(name, is_plain);
}

/// What people wrote for people: on one line, and not too long.
Result<void> check_note(std::string_view what, std::string_view text, bool may_be_empty) {
  if (text.empty() && !may_be_empty) return wrong(fmt::format("the {} is empty", what));
  if (text.size() > note_max) {
    return wrong(fmt::format("the {} is longer than {} bytes", what, note_max));
  }
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (!is_utf8(text) || std::ranges::any_of(text, is_control)) {
    return wrong(fmt::format("the {} must be text on one line", what));
  }
  return {};
}

std::int64_t ms_of(const std::optional<Timestamp>& time) { return time ? to_ms(*time) : 0; }
std::optional<Timestamp> time_of(std::int64_t ms) {
  if (ms == 0) return std::nullopt;
  return Timestamp(Millis(ms));
}

/// A row of limitr_tokens.
struct TokenRow {
  Token token;
  std::string hash;

  std::int64_t checksum() const {
    return static_cast<std::int64_t>(store::Checksum()
                                         .add(token.id)
                                         .add(token.project)
                                         .add(token.name)
                                         .add(to_string(token.kind))
                                         .add(to_string(token.scopes))
                                         .add(hash)
                                         .add(static_cast<std::uint64_t>(to_ms(token.created)))
                                         .add(static_cast<std::uint64_t>(ms_of(token.expires)))
                                         .add(static_cast<std::uint64_t>(ms_of(token.revoked)))
                                         .value());
  }
};

Result<TokenRow> token_row(const SqlRows& rows, std::size_t row) {
  const Result<Scopes> scopes = read_scopes(rows.text(row, 4));
  TokenRow found = {
      .token = {.id = rows.text(row, 0),
                .project = rows.text(row, 1),
                .name = rows.text(row, 2),
                .kind = rows.text(row, 3) == "test" ? TokenKind::test : TokenKind::live,
                .scopes = scopes.ok() ? *scopes : Scopes(),
                .created = Timestamp(Millis(rows.number(row, 6))),
                .expires = time_of(rows.number(row, 7)),
                .revoked = time_of(rows.number(row, 8))},
      .hash = rows.text(row, 5)};
  if (!scopes.ok() || found.checksum() != rows.number(row, 9)) {
    return damaged("what is kept of a token");
  }
  return found;
}

/// A row of limitr_policies.
struct PolicyRow {
  PolicyEntry entry;
  std::string document;

  std::int64_t checksum(std::string_view project) const {
    return static_cast<std::int64_t>(store::Checksum()
                                         .add(project)
                                         .add(entry.version)
                                         .add(document)
                                         .add(static_cast<std::uint64_t>(to_ms(entry.at)))
                                         .add(entry.who)
                                         .add(entry.message)
                                         .value());
  }
};

Result<PolicyRow> policy_row(const SqlRows& rows, std::size_t row) {
  PolicyRow found = {.entry = {.version = static_cast<std::uint64_t>(rows.number(row, 0)),
                               .at = Timestamp(Millis(rows.number(row, 2))),
                               .who = rows.text(row, 3),
                               .message = rows.text(row, 4)},
                     .document = rows.text(row, 1)};
  const std::string project = rows.text(row, 6);
  if (found.checksum(project) != rows.number(row, 5)) {
    return damaged(fmt::format("version {} of the policy of `{}`", found.entry.version, project));
  }
  return found;
}

/// The document as JSON text, in which what is there twice in other formats or spacing is the same.
Result<std::string> checked_document(std::string_view document, Format format) {
  const Result<policy::Node> node = policy::parse_document(document, format, {});
  if (!node.ok() && node.error().code != ErrorCode::policy_invalid) return node.error();
  std::size_t count = 0;
  std::string problems;
  for (const Issue& issue : validate_policy(document, format)) {
    if (issue.severity != Issue::Severity::error) continue;
    if (count++ > 0) problems += "; ";
    problems += issue.to_string();
  }
  if (count == 0 && node.ok()) return policy::json_text(*node);
  if (count == 0) return node.error();
  return Error{.code = ErrorCode::policy_invalid,
               .message = fmt::format("the policy has {} problem{}: {}", count,
                                      count == 1 ? "" : "s", problems)};
}

Result<std::unique_ptr<Database>> no_database(std::string_view url) {
  const std::string_view kind = url.substr(0, url.find(':'));
  return wrong(
      fmt::format("a server cannot keep its projects in a store of the kind `{}`: use "
                  "sqlite: or postgres:",
                  url.find(':') == std::string_view::npos ? "" : kind));
}

Result<std::unique_ptr<Database>> database_of(std::string_view url,
                                              [[maybe_unused]] Missing missing) {
  const std::size_t colon = std::min(url.find(':'), url.size());
  const std::string_view kind = url.substr(0, colon);
  [[maybe_unused]] const std::string_view rest = url.substr(std::min(colon + 1, url.size()));
#ifdef LIMITR_SQLITE
  if (kind == "memory" && colon < url.size()) return sqlite_database({}, missing);
  if (kind == "sqlite" && rest.empty()) return wrong(fmt::format("`{}` names no file", url));
  if (kind == "sqlite") return sqlite_database(fmt::format("{}-cloud.db", rest), missing);
#endif
#ifdef LIMITR_POSTGRES
  if (kind == "postgres" || kind == "postgresql") {
    return postgres_database(url, missing);
  }
#endif
  return no_database(url);
}

/// `.NAME` before the ending, or behind a name without one.
std::string path_of(std::string_view path, std::string_view project) {
  const std::size_t slash = path.rfind('/');
  const std::size_t name = slash == std::string_view::npos ? 0 : slash + 1;
  std::size_t dot = path.rfind('.');
  if (dot == std::string_view::npos || dot <= name) dot = path.size();
  return fmt::format("{}.{}{}", path.substr(0, dot), project, path.substr(dot));
}

#ifdef LIMITR_POSTGRES
/// A project's schema; `-` cannot be in its name, and `_` cannot be in a project's.
std::string postgres_url_of(std::string_view url, std::string_view project) {
  const auto address = store::postgres::read_address(url);
  if (!address.ok()) return std::string(url);
  std::string schema = fmt::format("{}_{}", address->schema, project);
  std::ranges::replace(schema, '-', '_');
  return store::postgres::with_schema(url, schema);
}
#endif

}  // namespace

Error nothing_at(std::string_view where) {
  return wrong(
      fmt::format("nothing is there: `{}` has no projects of a server. `limitr serve` "
                  "begins one, and so does `limitr project create`",
                  where));
}

Result<void> prepare_tables(Database& database, bool are_there, Missing missing,
                            std::string_view where) {
  if (!are_there && missing == Missing::refused) return nothing_at(where);
  if (!are_there) {
    for (const std::string_view table : control_tables) {
      if (auto made = database.run(table, {}); !made.ok()) return std::move(made).error();
    }
    auto begun = database.run("INSERT INTO {s}limitr_cloud VALUES (1, $1, 1)", {control_version});
    if (!begun.ok()) return std::move(begun).error();
    return {};
  }
  const auto found = database.run("SELECT version FROM {s}limitr_cloud", {});
  if (!found.ok()) return found.error();
  if (found->size() != 1 || found->number(0, 0) < 1) {
    return Error{
        .code = ErrorCode::data_corrupt,
        .message = fmt::format("`{}` does not say which tables it has: restore a backup", where)};
  }
  if (found->number(0, 0) <= control_version) return {};
  return wrong(
      fmt::format("`{}` was written by a newer limitr (tables of version {}; this one knows {}): "
                  "open it with that",
                  where, found->number(0, 0), control_version));
}

// Under `mutex` is one connection, and so one transaction at a time.
struct Control::Parts {
  Parts(std::string_view store_url, std::shared_ptr<const Clock> wall,
        std::unique_ptr<Database> kept)
      : url(store_url), clock(std::move(wall)), database(std::move(kept)) {}

  Result<SqlRows> read(std::string_view sql, std::initializer_list<SqlValue> values) {
    const std::lock_guard lock(mutex);
    return database->run(sql, values);
  }

  /// Does all of `work`, or nothing of it where it fails.
  template <typename T, typename Work>
  Result<T> change(const Work& work) {
    const std::lock_guard lock(mutex);
    if (auto begun = database->begin(); !begun.ok()) return std::move(begun).error();
    Result<T> done = counted<T>(work);
    if (!done.ok()) {
      database->roll_back();
      return done;
    }
    if (auto committed = database->commit(); !committed.ok()) return std::move(committed).error();
    return done;
  }

  // In a change, or what is a part of one.

  /// Also the lock that changes of other processes wait for.
  template <typename T, typename Work>
  Result<T> counted(const Work& work) {
    auto counting = database->run("UPDATE {s}limitr_cloud SET changes = changes + 1", {});
    if (!counting.ok()) return std::move(counting).error();
    return work();
  }

  Result<void> must_have_project(std::string_view project) {
    const auto found = database->run("SELECT created FROM {s}limitr_projects WHERE name = $1",
                                     {std::string(project)});
    if (!found.ok()) return found.error();
    if (found->empty()) return wrong(fmt::format("there is no project `{}`", project));
    return {};
  }

  Result<std::optional<PolicyRow>> newest(std::string_view project) {
    const auto rows =
        database->run(fmt::format("SELECT {} FROM {{s}}limitr_policies WHERE project = $1"
                                  " ORDER BY version DESC LIMIT 1",
                                  policy_columns),
                      {std::string(project)});
    if (!rows.ok()) return rows.error();
    if (rows->empty()) return std::optional<PolicyRow>();
    Result<PolicyRow> row = policy_row(*rows, 0);
    if (!row.ok()) return std::move(row).error();
    return std::optional(*std::move(row));
  }

  Result<PolicyRow> version(std::string_view project, std::uint64_t number) {
    const auto rows = database->run(
        fmt::format("SELECT {} FROM {{s}}limitr_policies WHERE project = $1 AND version = $2",
                    policy_columns),
        {std::string(project), static_cast<std::int64_t>(number)});
    if (!rows.ok()) return rows.error();
    if (!rows->empty()) return policy_row(*rows, 0);
    if (auto there = must_have_project(project); !there.ok()) return std::move(there).error();
    return wrong(fmt::format("the policy of `{}` has no version {}", project, number));
  }

  Result<Pushed> activate(std::string_view project, PolicyRow row) {
    auto active = newest(project);
    if (!active.ok()) return std::move(active).error();
    const std::uint64_t last = *active ? (*active)->entry.version : 0;
    if (*active && (*active)->document == row.document) return Pushed{.version = last};
    row.entry.version = last + 1;
    row.entry.at = clock->now();
    auto added = database->run(
        "INSERT INTO {s}limitr_policies (project, version, document, at, who, message, checksum)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        {std::string(project), static_cast<std::int64_t>(row.entry.version), row.document,
         to_ms(row.entry.at), row.entry.who, row.entry.message, row.checksum(project)});
    if (!added.ok()) return std::move(added).error();
    return Pushed{.version = row.entry.version, .is_new = true};
  }

  Result<std::optional<TokenRow>> token(std::string_view id) {
    const auto rows =
        database->run(fmt::format("SELECT {} FROM {{s}}limitr_tokens WHERE id = $1", token_columns),
                      {std::string(id)});
    if (!rows.ok()) return rows.error();
    if (rows->empty()) return std::optional<TokenRow>();
    Result<TokenRow> row = token_row(*rows, 0);
    if (!row.ok()) return std::move(row).error();
    return std::optional(*std::move(row));
  }

  const std::string url;
  const std::shared_ptr<const Clock> clock;
  std::mutex mutex;
  const std::unique_ptr<Database> database;
};

namespace {

Error unauthorized(std::string message) {
  return {.code = ErrorCode::unauthorized, .message = std::move(message)};
}

Result<void> check_new(const NewToken& token, Timestamp now) {
  if (auto good = check_note("token's name", token.name, false); !good.ok()) return good;
  if (token.scopes == Scopes()) {
    return wrong("a token needs a scope: engine, read or admin");
  }
  if (token.expires && *token.expires <= now) return wrong("the token would have expired already");
  return {};
}

}  // namespace

Control::Control(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Control::~Control() = default;

Result<std::unique_ptr<Control>> Control::open(std::string_view store_url,
                                               std::shared_ptr<const Clock> clock) {
  auto database = database_of(store_url, Missing::made);
  if (!database.ok()) return std::move(database).error();
  std::unique_ptr<Control> control(
      new Control(std::make_unique<Parts>(store_url, std::move(clock), *std::move(database))));
  const auto found = control->project_find(default_project);
  if (found.ok()) return control;
  if (found.error().code != ErrorCode::invalid_argument) return found.error();
  auto made = control->parts_->change<bool>([&]() -> Result<bool> {
    auto added = control->parts_->database->run(
        "INSERT INTO {s}limitr_projects VALUES ($1, $2) ON CONFLICT DO NOTHING",
        {std::string(default_project), to_ms(control->parts_->clock->now())});
    if (!added.ok()) return std::move(added).error();
    return true;
  });
  if (!made.ok()) return std::move(made).error();
  return control;
}

Result<std::unique_ptr<Control>> Control::open_existing(std::string_view store_url) {
  auto database = database_of(store_url, Missing::refused);
  if (!database.ok()) return std::move(database).error();
  return std::unique_ptr<Control>(
      new Control(std::make_unique<Parts>(store_url, system_clock(), *std::move(database))));
}

Result<Caller> Control::authenticate(std::string_view token) {
  if (!is_well_formed(token)) return unauthorized("the token is mistyped, or is none");
  const std::string hash = token_hash(token);
  const std::lock_guard lock(parts_->mutex);
  auto row = parts_->token(std::string_view(hash).substr(0, id_digits));
  if (!row.ok()) return std::move(row).error();
  if (!*row || !is_same_hash((*row)->hash, hash)) {
    return unauthorized("the token is wrong: no project here has it");
  }
  const Token& found = (*row)->token;
  if (found.revoked) return unauthorized("the token was revoked");
  if (found.expires && *found.expires <= parts_->clock->now()) {
    return unauthorized("the token has expired");
  }
  return Caller{.token_id = found.id,
                .token_name = found.name,
                .project = found.project,
                .scopes = found.scopes,
                .expires = found.expires};
}

Result<bool> Control::is_valid(std::string_view token_id, Timestamp now) {
  const std::lock_guard lock(parts_->mutex);
  auto row = parts_->token(token_id);
  if (!row.ok()) return std::move(row).error();
  if (!*row || (*row)->token.revoked) return false;
  return !(*row)->token.expires || *(*row)->token.expires > now;
}

Result<Project> Control::project_create(std::string_view name) {
  if (!is_project_name(name)) {
    return wrong(fmt::format("`{}` is no name of a project: use 1 to {} of a-z, 0-9 and -", name,
                             project_name_max));
  }
#ifdef LIMITR_POSTGRES
  if (parts_->url.starts_with("postgres")) {
    const auto place = store::postgres::read_address(store_url_of(name));
    if (!place.ok()) return wrong("with the schema's name before it, the project's is too long");
  }
#endif
  return parts_->change<Project>([&]() -> Result<Project> {
    if (parts_->must_have_project(name).ok()) {
      return wrong(fmt::format("there is a project `{}` already", name));
    }
    Project project{.name = std::string(name), .created = parts_->clock->now()};
    auto added = parts_->database->run("INSERT INTO {s}limitr_projects VALUES ($1, $2)",
                                       {project.name, to_ms(project.created)});
    if (!added.ok()) return std::move(added).error();
    return project;
  });
}

Result<std::vector<Project>> Control::project_list() {
  const auto rows = parts_->read("SELECT name, created FROM {s}limitr_projects ORDER BY name", {});
  if (!rows.ok()) return rows.error();
  std::vector<Project> projects;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    projects.push_back(
        {.name = rows->text(row, 0), .created = Timestamp(Millis(rows->number(row, 1)))});
  }
  return projects;
}

Result<void> Control::project_find(std::string_view name) {
  const std::lock_guard lock(parts_->mutex);
  return parts_->must_have_project(name);
}

Result<CreatedToken> Control::token_create(const NewToken& token) {
  const Timestamp now = parts_->clock->now();
  if (auto good = check_new(token, now); !good.ok()) return std::move(good).error();
  Result<std::string> text = make_token(token.kind);
  if (!text.ok()) return std::move(text).error();
  TokenRow row = {.token = {.project = token.project,
                            .name = token.name,
                            .kind = token.kind,
                            .scopes = token.scopes,
                            .created = now,
                            .expires = token.expires},
                  .hash = token_hash(*text)};
  row.token.id = row.hash.substr(0, id_digits);
  return parts_->change<CreatedToken>([&]() -> Result<CreatedToken> {
    if (auto there = parts_->must_have_project(token.project); !there.ok()) {
      return std::move(there).error();
    }
    auto added = parts_->database->run(
        fmt::format("INSERT INTO {{s}}limitr_tokens ({}) VALUES"
                    " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    token_columns),
        {row.token.id, row.token.project, row.token.name, std::string(to_string(row.token.kind)),
         to_string(row.token.scopes), row.hash, to_ms(row.token.created), ms_of(row.token.expires),
         ms_of(row.token.revoked), row.checksum()});
    if (!added.ok()) return std::move(added).error();
    return CreatedToken{.token = row.token, .text = *text};
  });
}

Result<std::vector<Token>> Control::token_list(std::string_view project) {
  if (auto there = project_find(project); !there.ok()) return std::move(there).error();
  const auto rows = parts_->read(
      fmt::format("SELECT {} FROM {{s}}limitr_tokens WHERE project = $1 ORDER BY created, id",
                  token_columns),
      {std::string(project)});
  if (!rows.ok()) return rows.error();
  std::vector<Token> tokens;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    Result<TokenRow> found = token_row(*rows, row);
    if (!found.ok()) return std::move(found).error();
    tokens.push_back(std::move(found->token));
  }
  return tokens;
}

Result<Token> Control::token_revoke(std::string_view project, std::string_view id) {
  return parts_->change<Token>([&]() -> Result<Token> {
    if (auto there = parts_->must_have_project(project); !there.ok()) {
      return std::move(there).error();
    }
    auto row = parts_->token(id);
    if (!row.ok()) return std::move(row).error();
    if (!*row || (*row)->token.project != project) {
      // Whoever gives the token itself must not find it in a log.
      if (id.size() != id_digits) return wrong("that is no ID of a token: `token list` shows them");
      return wrong(fmt::format("the project `{}` has no token `{}`", project, id));
    }
    if ((*row)->token.revoked) return (*row)->token;
    (*row)->token.revoked = parts_->clock->now();
    auto set = parts_->database->run(
        "UPDATE {s}limitr_tokens SET revoked = $1, checksum = $2 WHERE id = $3",
        {ms_of((*row)->token.revoked), (*row)->checksum(), std::string(id)});
    if (!set.ok()) return std::move(set).error();
    return (*row)->token;
  });
}

Result<Pushed> Control::push(std::string_view project, std::string_view document, Format format,
                             std::string_view who, std::string_view message) {
  if (auto good = check_note("message", message, true); !good.ok()) return std::move(good).error();
  if (auto good = check_note("name of who does it", who, false); !good.ok()) {
    return std::move(good).error();
  }
  Result<std::string> checked = checked_document(document, format);
  if (!checked.ok()) return std::move(checked).error();
  return parts_->change<Pushed>([&]() -> Result<Pushed> {
    if (auto there = parts_->must_have_project(project); !there.ok()) {
      return std::move(there).error();
    }
    return parts_->activate(project,
                            {.entry = {.who = std::string(who), .message = std::string(message)},
                             .document = *checked});
  });
}

Result<Pushed> Control::rollback(std::string_view project, std::uint64_t version,
                                 std::string_view who) {
  if (auto good = check_note("name of who does it", who, false); !good.ok()) {
    return std::move(good).error();
  }
  return parts_->change<Pushed>([&]() -> Result<Pushed> {
    Result<PolicyRow> row = parts_->version(project, version);
    if (!row.ok()) return std::move(row).error();
    row->entry.who = who;
    row->entry.message = fmt::format("rollback to version {}", version);
    return parts_->activate(project, *std::move(row));
  });
}

Result<std::vector<PolicyEntry>> Control::versions(std::string_view project) {
  if (auto there = project_find(project); !there.ok()) return std::move(there).error();
  const auto rows = parts_->read(
      "SELECT version, at, who, message FROM {s}limitr_policies WHERE project = $1"
      " ORDER BY version DESC",
      {std::string(project)});
  if (!rows.ok()) return rows.error();
  std::vector<PolicyEntry> entries;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    entries.push_back({.version = static_cast<std::uint64_t>(rows->number(row, 0)),
                       .at = Timestamp(Millis(rows->number(row, 1))),
                       .who = rows->text(row, 2),
                       .message = rows->text(row, 3),
                       .active = row == 0});
  }
  return entries;
}

Result<wire::PolicyVersion> Control::policy(std::string_view project, std::uint64_t version) {
  const std::lock_guard lock(parts_->mutex);
  Result<PolicyRow> row = parts_->version(project, version);
  if (!row.ok()) return std::move(row).error();
  return wire::PolicyVersion{.version = version, .document = std::move(row->document)};
}

Result<std::optional<wire::PolicyVersion>> Control::active_policy(std::string_view project) {
  const std::lock_guard lock(parts_->mutex);
  auto row = parts_->newest(project);
  if (!row.ok()) return std::move(row).error();
  if (*row) {
    return std::optional(wire::PolicyVersion{.version = (*row)->entry.version,
                                             .document = std::move((*row)->document)});
  }
  if (auto there = parts_->must_have_project(project); !there.ok()) {
    return std::move(there).error();
  }
  return std::optional<wire::PolicyVersion>();
}

Result<std::vector<Difference>> Control::diff(std::string_view project, std::uint64_t before,
                                              std::uint64_t after) {
  const Result<wire::PolicyVersion> old_one = policy(project, before);
  if (!old_one.ok()) return old_one.error();
  const Result<wire::PolicyVersion> new_one = policy(project, after);
  if (!new_one.ok()) return new_one.error();
  return diff_policies(old_one->document, Format::json, new_one->document, Format::json);
}

Result<std::uint64_t> Control::change_count() {
  const auto rows = parts_->read("SELECT changes FROM {s}limitr_cloud", {});
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return damaged("the count of changes");
  return static_cast<std::uint64_t>(rows->number(0, 0));
}

Timestamp Control::now() const { return parts_->clock->now(); }

std::string Control::store_url_of(std::string_view project) const {
  const std::string& url = parts_->url;
  if (project == default_project) return url;
#ifdef LIMITR_POSTGRES
  if (url.starts_with("postgres")) return postgres_url_of(url, project);
#endif
  return path_of(url, project);
}

}  // namespace limitr::server
