// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/writer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/owner_lock.h"
#include "store/postgres/chunk.h"
#include "store/postgres/schema.h"

namespace limitr::store::postgres {
namespace {

Error owned(const Address& address, std::string_view how, const Owner& owner) {
  return {.code = ErrorCode::store_owned,
          .message = fmt::format("the store `{}` is {} by {}: stop it first", address.name, how,
                                 to_text(owner))};
}

}  // namespace

Writer::Writer(const Options& options, Access access, std::unique_ptr<Connection> connection)
    : schema_(quoted(options.address.schema)),
      lease_(options.address.lease),
      token_(options.token),
      access_(access),
      asked_(options.asked),
      connection_(std::move(connection)) {}

std::string Writer::call(const std::string& function, int values) const {
  std::string sql = fmt::format("SELECT * FROM {}.{}(", schema_, function);
  for (int i = 1; i <= values; ++i) sql += fmt::format("{}${}", i > 1 ? "," : "", i);
  return sql + ")";
}

Result<std::unique_ptr<Writer>> Writer::open(const Options& options, Access access,
                                             const Owner& owner) {
  auto connection = Connection::open(options.address, options.timeouts);
  if (!connection.ok()) return std::move(connection).error();
  std::unique_ptr<Writer> writer(new Writer(options, access, *std::move(connection)));
  if (auto good = writer->look_at_server(options.accept_weaker); !good.ok()) {
    return std::move(good).error();
  }
  if (auto begun = writer->connection_->run("BEGIN"); !begun.ok()) return begun.error();
  if (auto there = writer->prepare_schema(); !there.ok()) return std::move(there).error();
  if (auto taken = writer->take(owner); !taken.ok()) return std::move(taken).error();
  if (auto done = writer->connection_->run("COMMIT"); !done.ok()) return done.error();
  return writer;
}

Result<void> Writer::look_at_server(bool accept_weaker) {
  const auto found = connection_->run(
      "SELECT pg_is_in_recovery(), current_setting('fsync'), current_setting('full_page_writes'),"
      " current_setting('synchronous_commit'), current_setting('synchronous_standby_names')");
  if (!found.ok()) return found.error();
  const Address& address = connection_->address();
  if (found->number(0, 0) != 0) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is a standby, which only reads: name the server that "
                                        "it follows, or ?target_session_attrs=read-write",
                                        address.name)};
  }
  const std::string_view commit = found->text(0, 3);
  const bool has_standbys = !found->text(0, 4).empty();
  if (found->text(0, 1) != "on") {
    weaker_ = "fsync is off: a crash of the machine may lose or tear all of it";
  } else if (found->text(0, 2) != "on") {
    weaker_ = "full_page_writes is off: a crash of the machine may tear pages";
  } else if (commit == "off") {
    weaker_ = "synchronous_commit is off: a crash may lose the last groups";
  } else if (has_standbys && (commit == "local" || commit == "remote_write")) {
    weaker_ = fmt::format(
        "synchronous_commit is {}, with synchronous standbys: a failover may lose the last groups",
        commit);
  }
  if (!weaker_ || accept_weaker) return {};
  return Error{
      .code = ErrorCode::store_weaker,
      .message = fmt::format("`{}`: {}; set it to on, or accept_weaker", address.name, *weaker_)};
}

Result<void> Writer::prepare_schema() {
  Result<Found> found = look_at(*connection_);
  if (!found.ok()) return std::move(found).error();
  if (*found == Found::ours) return {};
  // Two that come at once: the second one finds what the first has made.
  const auto alone = connection_->run(
      "SELECT pg_advisory_xact_lock(hashtextextended('limitr schema ' || $1::text, 0))",
      Values().add(connection_->address().schema));
  if (!alone.ok()) return alone.error();
  found = look_at(*connection_);
  if (!found.ok()) return std::move(found).error();
  if (*found == Found::ours) return {};
  return make_tables(*connection_, *found);
}

Result<void> Writer::take(const Owner& owner) {
  const auto rows = connection_->run(fmt::format(
      "SELECT {} FROM {}.owner o WHERE o.one = 1 FOR UPDATE", owner_columns(schema_), schema_));
  if (!rows.ok()) return rows.error();
  Result<OwnerRow> row = owner_row(*rows, connection_->address());
  if (!row.ok()) return std::move(row).error();
  if (row->is_alive && row->token != token_) {
    return owned(connection_->address(), "owned", row->owner);
  }
  if (access_ == Access::share) return join(owner, *row);
  if (auto alone = must_not_be_shared(); !alone.ok()) return alone;
  if (row->was_shared) {
    const auto last = connection_->run(fmt::format("SELECT last_value FROM {}.versions", schema_));
    if (!last.ok()) return last.error();
    row->last_group = std::max(row->last_group, last->whole(0, 0));
  }
  row->was_shared = false;
  ++row->epoch;
  row->token = token_;
  row->owner = owner;
  row_ = *row;
  return put_owner(row_);
}

// Those whose lease has run out are fenced off by losing their rows.
Result<void> Writer::must_not_be_shared() {
  const auto alive = connection_->run(
      fmt::format("SELECT host, process, since FROM {0}.sharers"
                  " WHERE id <> $1 AND lease_until > {0}.now_ms() ORDER BY since LIMIT 1",
                  schema_),
      Values().add(token_));
  if (!alive.ok()) return alive.error();
  if (!alive->empty()) {
    return owned(connection_->address(), "shared",
                 {.host = text_of(alive->text(0, 0)),
                  .process = alive->number(0, 1),
                  .since = Timestamp(Millis(alive->number(0, 2)))});
  }
  const auto gone = connection_->run(fmt::format("DELETE FROM {}.sharers", schema_));
  if (!gone.ok()) return gone.error();
  return {};
}

Result<void> Writer::put_owner(const OwnerRow& row) {
  const auto put = connection_->run(
      fmt::format("UPDATE {0}.owner SET epoch = $1, token = $2, host = $3, process = $4,"
                  " since = $5, last_group = $6, was_shared = $7, checksum = $8,"
                  " lease_until = {0}.now_ms() + $9 WHERE one = 1",
                  schema_),
      Values()
          .add(row.epoch)
          .add(row.token)
          .add(column_text(row.owner.host))
          .add(row.owner.process)
          .add(std::int64_t{row.owner.since.time_since_epoch().count()})
          .add(row.last_group)
          .add_flag(row.was_shared)
          .add(row.checksum())
          .add(std::int64_t{lease_.count()}));
  if (!put.ok()) return put.error();
  return {};
}

// The epoch of an owner who is gone ends here. What it numbered, those who share go on from.
Result<void> Writer::join(const Owner& owner, const OwnerRow& row) {
  if (row.token != 0 || !row.was_shared) {
    OwnerRow nobody = row;
    ++nobody.epoch;
    nobody.token = 0;
    nobody.was_shared = true;
    if (auto put = put_owner(nobody); !put.ok()) return put;
    const auto raised = connection_->run(
        fmt::format("SELECT setval('{0}.versions', greatest(last_value, $1)) FROM {0}.versions",
                    schema_),
        Values().add(row.last_group + 1));
    if (!raised.ok()) return raised.error();
  }
  // A sharer that never came back has nothing to ask any more after a day.
  constexpr std::int64_t remembered_ms = 86'400'000;
  const auto forgotten = connection_->run(
      fmt::format("WITH gone AS (DELETE FROM {0}.sharers WHERE lease_until < {0}.now_ms() - $1"
                  " RETURNING id) DELETE FROM {0}.written WHERE sharer IN (SELECT id FROM gone)",
                  schema_),
      Values().add(remembered_ms));
  if (!forgotten.ok()) return forgotten.error();
  const auto joined = connection_->run(
      fmt::format(
          "INSERT INTO {0}.sharers VALUES ($1, $2, $3, $4, {0}.now_ms() + $5)"
          " ON CONFLICT (id) DO UPDATE SET host = excluded.host, process = excluded.process,"
          " since = excluded.since, lease_until = excluded.lease_until",
          schema_),
      Values()
          .add(token_)
          .add(column_text(owner.host))
          .add(owner.process)
          .add(std::int64_t{owner.since.time_since_epoch().count()})
          .add(std::int64_t{lease_.count()}));
  if (!joined.ok()) return joined.error();
  return {};
}

Result<std::vector<Rows>> Writer::end() {
  Result<std::vector<Rows>> rows = connection_->finish();
  if (rows.ok() || !connection_->may_have_happened()) return rows;
  Error error = std::move(rows).error();
  error.code = ErrorCode::outcome_unknown;
  return error;
}

Result<void> Writer::commit(const Group& group) {
  if (access_ == Access::share) return commit_texts(group);
  OwnerRow next = row_;
  next.last_group = group.number;
  auto sent = connection_->send(call("begin_group", 5), Values()
                                                            .add(row_.epoch)
                                                            .add(token_)
                                                            .add(std::int64_t{lease_.count()})
                                                            .add(group.number)
                                                            .add(next.checksum()));
  if (!sent.ok()) return sent;
  if (sent = send_customers(group); !sent.ok()) return sent;
  if (sent = send_texts(group, group.number); !sent.ok()) return sent;
  if (auto ended = end(); !ended.ok()) return std::move(ended).error();
  row_ = next;
  return {};
}

Result<void> Writer::send_customers(const Group& group) {
  Chunk chunk;
  const auto send = [&]() -> Result<void> {
    auto sent = connection_->send(call("write_customers", 12), chunk.customers(group.number));
    if (sent.ok() && chunk.has_requests()) {
      sent = connection_->send(call("put_requests", 8), chunk.requests());
    }
    chunk = Chunk();
    return sent;
  };
  for (const CustomerWrite& write : group.customers) {
    if (!chunk.has_room_for(write)) {
      if (auto sent = send(); !sent.ok()) return sent;
    }
    chunk.add(write);
  }
  if (chunk.empty()) return {};
  return send();
}

Result<void> Writer::send_texts(const Group& group, std::uint64_t version) {
  for (const auto& [name, text] :
       {std::pair("estimates", &group.estimates), std::pair("policy", &group.policy)}) {
    if (!*text) continue;
    const std::uint64_t sum = versioned_checksum(name, 0, **text);
    auto sent = connection_->send(
        call("put_text", 4),
        Values().add(std::string_view(name)).add(version).add(column_text(**text)).add(sum));
    if (!sent.ok()) return sent;
  }
  return {};
}

Result<void> Writer::commit_texts(const Group& group) {
  if (!group.customers.empty()) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = "a group of a store that is shared has no customers"};
  }
  const auto version = connection_->run(fmt::format("SELECT nextval('{}.versions')", schema_));
  if (!version.ok()) return version.error();
  auto sent =
      connection_->send(call("hold_sharer", 3),
                        Values().add(token_).add(std::int64_t{lease_.count()}).add_flag(false));
  if (!sent.ok()) return sent;
  if (sent = send_texts(group, version->whole(0, 0)); !sent.ok()) return sent;
  if (auto ended = end(); !ended.ok()) return std::move(ended).error();
  return {};
}

Result<void> Writer::renew() {
  const Values lease = access_ == Access::own
                           ? Values().add(row_.epoch).add(token_).add(std::int64_t{lease_.count()})
                           : Values().add(token_).add(std::int64_t{lease_.count()}).add_flag(true);
  const auto renewed =
      connection_->run(call(access_ == Access::own ? "renew_owner" : "hold_sharer", 3), lease);
  if (!renewed.ok()) return renewed.error();
  return {};
}

Result<void> Writer::release() {
  if (access_ == Access::share) {
    const auto left = connection_->run(fmt::format("DELETE FROM {}.sharers WHERE id = $1", schema_),
                                       Values().add(token_));
    if (!left.ok()) return left.error();
    return {};
  }
  OwnerRow nobody = row_;
  nobody.token = 0;
  const auto left =
      connection_->run(fmt::format("UPDATE {}.owner SET token = 0, lease_until = 0, checksum = $3"
                                   " WHERE one = 1 AND epoch = $1 AND token = $2",
                                   schema_),
                       Values().add(row_.epoch).add(token_).add(nobody.checksum()));
  if (!left.ok()) return left.error();
  return {};
}

Result<void> Writer::set_aside(std::span<const Damaged> damaged) {
  for (const Damaged& row : damaged) {
    auto sent = connection_->send(
        fmt::format("INSERT INTO {0}.damaged (kind, id, version, content, checksum)"
                    " SELECT $1::text, $2::text, $3, $4::text, $5 WHERE NOT EXISTS"
                    " (SELECT FROM {0}.damaged WHERE kind = $1 AND id = $2 AND content = $4"
                    " AND checksum = $5)",
                    schema_),
        Values()
            .add(row.kind)
            .add(column_text(row.id))
            .add(row.version)
            .add(column_text(row.content))
            .add(row.checksum));
    if (!sent.ok()) return sent;
  }
  auto ended = connection_->finish();
  if (!ended.ok()) return std::move(ended).error();
  return {};
}

}  // namespace limitr::store::postgres
