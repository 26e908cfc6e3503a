// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite/writer.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "store/checksum.h"
#include "store/sqlite/schema.h"

// Why a group is whole, and safe, when commit() has answered:
// 1. It is one transaction, in the journal (WAL) and synced there before COMMIT returns.
// 2. The owner's row is written in the same transaction, and only where it has our epoch.
// 3. What SQLite finds in the journal when it opens the file may be in the page cache only: the
//    sync of an earlier process, or ours, may have failed, and a second one would say nothing.
//    So the journal is written over itself and synced before anything is built on it.
namespace limitr::store::sqlite {
namespace {

Error io_error(const std::string& path) {
  return {.code = ErrorCode::store_unavailable,
          .message = fmt::format("`{}`: {}", path, std::generic_category().message(errno))};
}

Error fenced(const std::string& path) {
  return {.code = ErrorCode::store_fenced,
          .message = fmt::format("another owner has taken `{}` over", path)};
}

struct File {
  explicit File(int opened) : number(opened) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (number >= 0) ::close(number);
  }
  int number;
};

/// A new name in a folder is safe when the folder is.
Result<void> sync_folder(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  const File file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.number < 0 || ::fsync(file.number) != 0) return io_error(folder);
  return {};
}

/// Writes the journal over itself and syncs it. REQUIRES: the connection holds the write lock, so
/// that nobody else writes to it. SQLite keeps no lock on this file that closing could lose.
Result<void> prove_journal(const std::string& path) {
  const std::string journal = path + "-wal";
  const File file(::open(journal.c_str(), O_RDWR | O_CLOEXEC));
  if (file.number < 0) return errno == ENOENT ? Result<void>() : io_error(journal);
  std::vector<char> block(std::size_t{1} << 20U);
  for (::off_t at = 0;;) {
    const ssize_t size = ::pread(file.number, block.data(), block.size(), at);
    if (size < 0) return io_error(journal);
    if (size == 0) break;
    const auto count = static_cast<std::size_t>(size);
    if (::pwrite(file.number, block.data(), count, at) != size) return io_error(journal);
    at += size;
  }
  if (::fsync(file.number) != 0) return io_error(journal);
  return {};
}

/// Whether COMMIT failed before the journal was synced, and its last frame was not written. Then
/// what stands in the journal is no transaction, whoever reads it.
bool is_unwritten(int code) {
  return code == SQLITE_FULL || code == SQLITE_IOERR_WRITE || (code & 0xff) == SQLITE_BUSY;
}

const char* name_of(Synchronous synchronous) {
  switch (synchronous) {
    case Synchronous::off: return "PRAGMA synchronous = OFF";
    case Synchronous::normal: return "PRAGMA synchronous = NORMAL";
    case Synchronous::full: return "PRAGMA synchronous = FULL";
    case Synchronous::extra: return "PRAGMA synchronous = EXTRA";
  }
  return "";
}

}  // namespace

struct Writer::Statements {
  Statement begin;
  Statement update_customer, insert_customer, delete_customer;
  Statement alts_of, move_alt, insert_alt, delete_alt, delete_alts;
  Statement insert_request, update_request, forget_requests, delete_requests;
  Statement put_text;
  Statement update_owner;
};

Writer::Writer(Connection connection) : connection_(std::move(connection)) {}
Writer::~Writer() = default;

Result<std::unique_ptr<Writer>> Writer::open(const std::string& path, const SqliteOptions& options,
                                             const Owner& owner, std::uint64_t epoch) {
  Result<Connection> connection = Connection::open(path, Mode::write, options.busy_timeout);
  if (!connection.ok()) return std::move(connection).error();
  std::unique_ptr<Writer> writer(new Writer(*std::move(connection)));
  auto opened = writer->prepare_file(options);
  if (opened.ok()) opened = writer->begin_epoch(owner, epoch);
  if (opened.ok()) opened = sync_folder(path);
  if (opened.ok()) opened = writer->prepare_statements();
  if (opened.ok()) return writer;
  writer->abandon();
  return std::move(opened).error();
}

Result<void> Writer::prepare_file(const SqliteOptions& options) {
  if (connection_.is_read_only()) {
    return Error{.code = ErrorCode::store_unavailable,
                 .message = fmt::format("`{}` may not be written to: "
                                        "it must be writable, its folder too",
                                        connection_.path())};
  }
  const Result<Found> found = look_at(connection_);
  if (!found.ok()) return found.error();
  // Where this is a new file, a page is what most file systems write as one.
  if (auto set = connection_.run("PRAGMA page_size = 4096"); !set.ok()) return set;
  const Result<std::string> journal = connection_.text("PRAGMA journal_mode = WAL");
  if (!journal.ok()) return journal.error();
  if (*journal != "wal") {
    return Error{
        .code = ErrorCode::store_weaker,
        .message = fmt::format("`{}` cannot have a write-ahead log (its journal mode is {}): "
                               "keep it in a local file system",
                               connection_.path(), *journal)};
  }
  if (auto set = connection_.run(name_of(options.synchronous)); !set.ok()) return set;
  if (*found == Found::ours) return {};
  if (auto begun = connection_.run("BEGIN IMMEDIATE"); !begun.ok()) return begun;
  if (auto made = make_tables(connection_); !made.ok()) return made;
  return connection_.run("COMMIT");
}

Result<void> Writer::begin_epoch(const Owner& owner, std::uint64_t earlier) {
  if (auto begun = connection_.run("BEGIN IMMEDIATE"); !begun.ok()) return begun;
  if (auto proven = prove_journal(connection_.path()); !proven.ok()) return proven;
  Result<OwnerRow> row = read_owner(connection_);
  if (!row.ok()) return std::move(row).error();
  row_ = *std::move(row);
  if (earlier != 0 && row_.epoch > earlier) return fenced(connection_.path());
  ++row_.epoch;
  row_.owner = owner;
  Result<Statement> update = connection_.prepare(
      "UPDATE owner SET epoch = ?1, host = ?2, process = ?3, since = ?4, checksum = ?5");
  if (!update.ok()) return std::move(update).error();
  update->bind(row_.epoch, row_.owner.host, static_cast<std::uint64_t>(owner.process),
               static_cast<std::uint64_t>(owner.since.time_since_epoch().count()), row_.checksum());
  if (auto updated = update->run(); !updated.ok()) return updated;
  return connection_.run("COMMIT");
}

Result<void> Writer::prepare_statements() {
  statements_ = std::make_unique<Statements>();
  Statements& s = *statements_;
  const std::pair<Statement*, const char*> all[] = {
      {&s.begin, "BEGIN IMMEDIATE"},
      {&s.update_customer,
       "UPDATE customers SET version = ?2, record = ?3, checksum = ?4 WHERE id = ?1"},
      {&s.insert_customer, "INSERT INTO customers VALUES (?1, ?2, ?3, ?4)"},
      {&s.delete_customer, "DELETE FROM customers WHERE id = ?1"},
      {&s.alts_of, "SELECT alt FROM alt_ids WHERE customer = ?1"},
      {&s.move_alt, "UPDATE alt_ids SET customer = ?2, checksum = ?3 WHERE alt = ?1"},
      {&s.insert_alt, "INSERT INTO alt_ids VALUES (?1, ?2, ?3)"},
      {&s.delete_alt, "DELETE FROM alt_ids WHERE alt = ?1"},
      {&s.delete_alts, "DELETE FROM alt_ids WHERE customer = ?1"},
      {&s.insert_request, "INSERT OR IGNORE INTO requests VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
      {&s.update_request,
       "UPDATE requests SET id = ?3, fingerprint = ?4, answer = ?5, at = ?6, checksum = ?7"
       " WHERE customer = ?1 AND number = ?2"},
      {&s.forget_requests, "DELETE FROM requests WHERE customer = ?1 AND number < ?2"},
      {&s.delete_requests, "DELETE FROM requests WHERE customer = ?1"},
      {&s.put_text, "INSERT OR REPLACE INTO texts VALUES (?1, ?2, ?3, ?4)"},
      {&s.update_owner,
       "UPDATE owner SET last_group = ?2, customers = ?3, alt_ids = ?4, requests = ?5,"
       " checksum = ?6 WHERE one = 1 AND epoch = ?1"},
  };
  for (const auto& [statement, sql] : all) {
    Result<Statement> prepared = connection_.prepare(sql);
    if (!prepared.ok()) return std::move(prepared).error();
    *statement = *std::move(prepared);
  }
  return {};
}

Result<void> Writer::commit(const Group& group) {
  if (connection_.has_moved()) {
    return Error{.code = ErrorCode::store_unavailable,
                 .message = fmt::format("`{}` was removed or replaced while it was open",
                                        connection_.path())};
  }
  if (auto begun = statements_->begin.run(); !begun.ok()) return begun;
  next_ = row_;
  // Until COMMIT, what stands in the journal is no transaction: nothing has been written, also
  // where rolling back fails too.
  if (auto written = write(group); !written.ok()) {
    [[maybe_unused]] const auto rolled_back = connection_.run("ROLLBACK");
    return written;
  }
  if (auto finished = finish(); !finished.ok()) return finished;
  row_ = std::move(next_);
  return {};
}

Result<void> Writer::finish() {
  auto committed = connection_.run("COMMIT");
  if (committed.ok()) return {};
  const int failure = connection_.failure();
  Error error = std::move(committed).error();
  if (error.code == ErrorCode::store_unavailable && !is_unwritten(failure)) {
    error.code = ErrorCode::outcome_unknown;
  }
  return error;
}

Result<void> Writer::write(const Group& group) {
  for (const CustomerWrite& customer : group.customers) {
    if (auto done = write_customer(group.number, customer); !done.ok()) return done;
  }
  if (group.estimates) {
    auto done = put_text("estimates", group.number, *group.estimates);
    if (!done.ok()) return done;
  }
  if (group.policy) {
    auto done = put_text("policy", group.number, *group.policy);
    if (!done.ok()) return done;
  }
  return put_owner(group.number);
}

Result<void> Writer::write_customer(std::uint64_t group, const CustomerWrite& write) {
  if (!write.record) return remove_customer(write.id);
  if (auto put = put_customer(group, write); !put.ok()) return put;
  if (auto put = put_alt_ids(write); !put.ok()) return put;
  return put_requests(write);
}

// Most writes are of customers that are there: an update touches one page, and tells by what it
// changed whether it was one.
Result<void> Writer::put_customer(std::uint64_t group, const CustomerWrite& write) {
  const std::uint64_t checksum = record_checksum(write.id, group, *write.record);
  auto updated = statements_->update_customer.bind(write.id, group, *write.record, checksum).run();
  if (!updated.ok() || connection_.changes() > 0) return updated;
  ++next_.counts.customers;
  return statements_->insert_customer.bind(write.id, group, *write.record, checksum).run();
}

// They change seldom: what is there is read, and only what differs is written.
Result<void> Writer::put_alt_ids(const CustomerWrite& write) {
  std::vector<std::string> there;
  Statement& alts_of = statements_->alts_of.bind(write.id);
  Result<bool> row = alts_of.step();
  for (; row.ok() && *row; row = alts_of.step()) there.emplace_back(alts_of.text(0));
  if (!row.ok()) return std::move(row).error();
  alts_of.reset();

  for (const std::string& alt : there) {
    if (std::ranges::find(write.alt_ids, alt) != write.alt_ids.end()) continue;
    if (auto gone = statements_->delete_alt.bind(alt).run(); !gone.ok()) return gone;
    next_.counts.alt_ids -= connection_.changes();
  }
  for (const std::string& alt : write.alt_ids) {
    if (std::ranges::find(there, alt) != there.end()) continue;
    const std::uint64_t checksum = record_checksum(alt, 0, write.id);
    auto put = statements_->move_alt.bind(alt, write.id, checksum).run();
    if (!put.ok()) return put;
    if (connection_.changes() > 0) continue;
    ++next_.counts.alt_ids;
    put = statements_->insert_alt.bind(alt, write.id, checksum).run();
    if (!put.ok()) return put;
  }
  return {};
}

Result<void> Writer::put_requests(const CustomerWrite& write) {
  if (write.first_request > 0) {
    auto gone = statements_->forget_requests.bind(write.id, write.first_request).run();
    if (!gone.ok()) return gone;
    next_.counts.requests -= connection_.changes();
  }
  for (const StoredRequest& request : write.new_requests) {
    const auto at = static_cast<std::uint64_t>(request.at.time_since_epoch().count());
    const std::uint64_t checksum = request_checksum(write.id, request);
    const auto put = [&](Statement& statement) {
      return statement
          .bind(write.id, request.number, request.id, request.fingerprint, request.answer, at,
                checksum)
          .run();
    };
    if (auto inserted = put(statements_->insert_request); !inserted.ok()) return inserted;
    if (connection_.changes() > 0) {
      ++next_.counts.requests;
    } else if (auto updated = put(statements_->update_request); !updated.ok()) {
      return updated;
    }
  }
  return {};
}

Result<void> Writer::remove_customer(const std::string& id) {
  const std::pair<Statement*, std::uint64_t*> rows[] = {
      {&statements_->delete_customer, &next_.counts.customers},
      {&statements_->delete_alts, &next_.counts.alt_ids},
      {&statements_->delete_requests, &next_.counts.requests},
  };
  for (const auto& [statement, count] : rows) {
    if (auto gone = statement->bind(id).run(); !gone.ok()) return gone;
    *count -= connection_.changes();
  }
  return {};
}

Result<void> Writer::put_text(std::string_view name, std::uint64_t group, const std::string& text) {
  return statements_->put_text.bind(name, group, text, record_checksum(name, group, text)).run();
}

// Last, and only where the epoch is still ours.
Result<void> Writer::put_owner(std::uint64_t group) {
  next_.last_group = group;
  const Counts& counts = next_.counts;
  auto updated = statements_->update_owner
                     .bind(next_.epoch, group, counts.customers, counts.alt_ids, counts.requests,
                           next_.checksum())
                     .run();
  if (!updated.ok() || connection_.changes() > 0) return updated;
  return fenced(connection_.path());
}

Result<void> Writer::set_aside(std::span<const Damaged> damaged) {
  if (auto begun = connection_.run("BEGIN IMMEDIATE"); !begun.ok()) return begun;
  Result<Statement> insert = connection_.prepare(
      "INSERT INTO damaged (kind, id, version, content, checksum) SELECT ?1, ?2, ?3, ?4, ?5"
      " WHERE EXISTS (SELECT 1 FROM owner WHERE epoch = ?6) AND NOT EXISTS"
      " (SELECT 1 FROM damaged WHERE kind = ?1 AND id = ?2 AND content = ?4 AND checksum = ?5)");
  if (!insert.ok()) return std::move(insert).error();
  for (const Damaged& row : damaged) {
    auto kept =
        insert->bind(row.kind, row.id, row.version, row.content, row.checksum, row_.epoch).run();
    if (!kept.ok()) return kept;
  }
  return connection_.run("COMMIT");
}

}  // namespace limitr::store::sqlite
