// SPDX-License-Identifier: Apache-2.0
#include "store/redis/redis_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "store/redis/calls.h"
#include "store/redis/cluster_store.h"
#include "store/redis/connection.h"
#include "store/redis/plain_groups.h"
#include "store/redis/rows.h"
#include "store/redis/scripts.h"
#include "store/redis/session.h"

// INVARIANTS:
// 1. The session that writes has never failed. With its first error it is gone, and open() makes
//    another; so nothing is sent behind what nobody knows the outcome of.
// 2. Readers have connections of their own, and make new ones by themselves: a reply never waits
//    for a write, and never belongs to another question.
// 3. Who takes both mutexes takes the writer's first.
namespace limitr::store {
namespace {

using redis::Answer;
using redis::Command;
using redis::Script;
using redis::Session;
using redis::Value;
using std::chrono::steady_clock;

constexpr std::size_t bytes_at_once = 4'000'000;  // of a group, in one script
constexpr std::size_t staged_at_once = 500'000;   // bytes of a larger one
constexpr std::size_t transactions_at_once = 64;  // in one script
constexpr std::size_t exchange_bytes_at_once = 1'000'000;
constexpr std::size_t ids_at_once = 1'000;
constexpr std::uint64_t page_size = 250;
constexpr Millis scan_lease{60'000};  // how long visiting one page may take

class RedisStore final : public Store {
public:
  explicit RedisStore(RedisOptions options)
      : options_(std::move(options)), plain_groups_(options_.prefix) {}
  ~RedisStore() override { shut(/*for_good=*/true); }

  Result<Opened> open(Access access, const Owner& owner) override {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(reader_mutex_);
    is_open_ = is_shared_ = is_owned_ = false;
    writer_.reset();
    reader_.reset();
    Result<Opened> opened = open_session(access, owner);
    if (opened.ok()) {
      is_open_ = true;
      return opened;
    }
    writer_.reset();
    reader_.reset();
    return redis::without_outcome(std::move(opened).error());
  }

  Result<void> commit(const Group& group) override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return closed();
    if (!group.customers.empty() && is_shared_) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = "customers of a store that is shared are exchanged"};
    }
    Result<void> committed = write_group(group);
    if (!committed.ok()) give_up(committed.error().code);
    return committed;
  }

  Result<std::vector<Exchanged>> exchange(std::span<const Transaction> transactions) override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return closed();
    if (!is_shared_) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = "who owns the store commits groups"};
    }
    if (transactions.size() > most_transactions) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("{} transactions are more than the {} of one exchange",
                                          transactions.size(), most_transactions)};
    }
    Result<std::vector<Exchanged>> exchanged = exchange_all(transactions);
    if (!exchanged.ok()) give_up(exchanged.error().code);
    return exchanged;
  }

  Result<void> renew() override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return is_open_ && !writer_failed_ ? Result<void>() : closed();
    Command call = writer_->call(Script::renew);
    call.add(holder_).add(name_).add(options_.lease.count()).add(is_shared_ ? sharer_ : "");
    renewed_ = steady_clock::now();
    plain_groups_.note_owner_changed();
    Result<void> renewed = redis::must_be_ok(writer_->run(Script::renew, std::move(call)), place());
    if (renewed.ok()) return renewed;
    Error error = redis::without_outcome(std::move(renewed).error());
    give_up(error.code);
    return error;
  }

  Result<std::uint64_t> last_group() override {
    const auto found = read_status();
    if (!found.ok()) return found.error();
    return found->last_group;
  }

  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) override {
    std::vector<StoredCustomer> found;
    std::set<std::string> seen;
    for (std::size_t from = 0; from < ids.size(); from += ids_at_once) {
      const auto some = ids.subspan(from, std::min(ids_at_once, ids.size() - from));
      const auto add = [&](Session& session) { return read_some(session, some, seen, found); };
      if (auto read = with_reader(add); !read.ok()) return std::move(read).error();
    }
    return found;
  }

  // On a connection of its own: it may take long, and `visit` may read.
  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(StoredCustomer)>& visit) override {
    {
      const std::lock_guard reading(reader_mutex_);
      if (!is_open_) return closed();
    }
    Result<std::unique_ptr<Session>> session = Session::open(options_);
    if (!session.ok()) return std::move(session).error();
    Result<void> scanned = scan_with(**session, after, visit);
    if (!scanned.ok()) return redis::without_outcome(std::move(scanned).error());
    return scanned;
  }

  Result<Status> status() override {
    Status status;
    const auto ask = [&](Session& session) -> Result<void> {
      auto found = status_of(session);
      if (!found.ok()) return std::move(found).error();
      status = *std::move(found);
      const auto software = session.software();
      if (!software.ok()) return software.error();
      status.software = "Redis " + software->version;
      status.bytes = software->used_memory;
      auto weaker = session.weakness();
      if (!weaker.ok()) return std::move(weaker).error();
      status.weaker = *std::move(weaker);
      return {};
    };
    if (auto asked = with_reader(ask); !asked.ok()) return std::move(asked).error();
    return status;
  }

  Result<void> close() override {
    shut(/*for_good=*/false);
    return {};
  }

  /// Whether what was found when it was opened last is none of this kind.
  bool is_cluster() const { return is_cluster_; }

private:
  std::string place() const { return redis::place_of(options_); }

  Error closed() const {
    return {
        .code = ErrorCode::store_unavailable,
        .message = fmt::format("the store at `{}` is not open{}", place(),
                               writer_failed_ ? ": open it again after its failure" : " to write")};
  }

  Result<Opened> open_session(Access access, const Owner& owner) {
    writer_failed_ = false;
    plain_groups_.forget();
    Result<std::unique_ptr<Session>> session = Session::open(options_);
    if (!session.ok()) return std::move(session).error();
    if ((*session)->is_cluster()) {
      is_cluster_ = true;
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("`{}` is a Redis Cluster", place())};
    }
    std::optional<std::string> weaker;
    if (access != Access::read) {
      Result<std::optional<std::string>> weakness = (*session)->weakness();
      if (!weakness.ok()) return std::move(weakness).error();
      weaker = *std::move(weakness);
      if (weaker && !options_.accept_weaker) {
        return Error{.code = ErrorCode::store_weaker,
                     .message = *weaker +
                                ": what was answered may be lost; set the server so, or accept "
                                "what is weaker"};
      }
      const auto checked = (*session)->run(Script::check, (*session)->call(Script::check));
      if (!checked.ok()) return checked.error();
    }
    const std::int64_t since = owner.since.time_since_epoch().count();
    Command call = (*session)->call(Script::open);
    call.add(access == Access::own ? "own" : access == Access::share ? "share" : "read");
    call.add(name_ + ":" + redis::random_name()).add(name_).add(options_.lease.count());
    call.add(owner.host).add(owner.process).add(since);
    renewed_ = steady_clock::now();
    const Result<Answer> answer = (*session)->run(Script::open, std::move(call));
    if (!answer.ok()) return answer.error();
    Result<Opened> opened = redis::read_opened(*answer, options_.prefix, place());
    if (!opened.ok()) return opened;
    opened->weaker = std::move(weaker);
    holder_ = (*answer)[3].text();
    is_owned_ = access == Access::own;
    is_shared_ = access == Access::share;
    sharer_ = fmt::format(" {} {} {}", owner.process, since, owner.host);
    if (access == Access::read) {
      reader_ = *std::move(session);
    } else {
      writer_ = *std::move(session);
      opened->renew_every = options_.lease / 3;
    }
    return opened;
  }

  /// REQUIRES: the writer's mutex is held, and there is a writer.
  Result<void> write_group(const Group& group) {
    // What takes a server 20 us, and one that is busy with other things some 100.
    const Millis longer(static_cast<std::int64_t>(group.customers.size() / 10));
    const std::size_t bytes = bytes_of(group);
    // The script renews the lease, which a plain group does not.
    const bool is_due = steady_clock::now() - renewed_ > options_.lease / 4;
    if (!is_due && bytes <= bytes_at_once && plain_groups_.can_write(group)) {
      const Result<bool> written =
          plain_groups_.write(writer_->connection(), holder_, group, longer);
      if (!written.ok()) return written.error();
      if (*written) return {};
    }
    Command call = writer_->call(Script::commit);
    call.add(holder_).add(options_.lease.count());
    call.add(is_shared_ ? 0 : group.number);
    call.add(group.estimates ? redis::text_row("estimates", *group.estimates) : "");
    call.add(group.policy ? redis::text_row("policy", *group.policy) : "");
    const bool is_staged = bytes > bytes_at_once;
    call.add(is_staged ? "1" : "0");
    if (is_staged) {
      // Nothing of the group counts before the last script has run.
      if (auto staged = stage(group); !staged.ok()) {
        return redis::without_outcome(std::move(staged).error());
      }
    } else {
      for (const CustomerWrite& write : group.customers) {
        redis::add_customer(call, write, /*is_in_cluster=*/false, group.number);
      }
    }
    renewed_ = steady_clock::now();
    plain_groups_.note_owner_changed();
    Result<void> written =
        redis::must_be_ok(writer_->run(Script::commit, std::move(call), longer), place());
    if (written.ok()) plain_groups_.note_written(group);
    return written;
  }

  static std::size_t bytes_of(const Group& group) {
    std::size_t bytes = group.customers.size() * 64;
    for (const CustomerWrite& write : group.customers) {
      bytes += write.id.size() + (write.record ? write.record->size() : 0);
      for (const StoredRequest& request : write.new_requests) bytes += request.answer.size();
    }
    return bytes;
  }

  Result<void> stage(const Group& group) {
    Command call;
    bool is_first = true;
    for (std::size_t i = 0; i < group.customers.size(); ++i) {
      if (call.bytes() == 0) {
        call = writer_->call(Script::stage);
        call.add(holder_).add(std::exchange(is_first, false) ? "1" : "0");
      }
      redis::add_customer(call, group.customers[i], /*is_in_cluster=*/false, group.number);
      if (call.bytes() < staged_at_once && i + 1 < group.customers.size()) continue;
      auto staged =
          redis::must_be_ok(writer_->run(Script::stage, std::exchange(call, Command())), place());
      if (!staged.ok()) return staged;
    }
    return {};
  }

  /// REQUIRES: as write_group().
  Result<std::vector<Exchanged>> exchange_all(std::span<const Transaction> transactions) {
    std::vector<Exchanged> all;
    if (transactions.empty()) return all;
    std::vector<Command> calls;
    std::vector<std::size_t> sizes;
    const std::uint64_t clock = clock_.version();
    const auto now = steady_clock::now();
    bool renews = now - renewed_ > options_.lease / 4;
    if (renews) renewed_ = now;
    for (const Transaction& transaction : transactions) {
      if (calls.empty() || sizes.back() == transactions_at_once ||
          calls.back().bytes() > exchange_bytes_at_once) {
        calls.push_back(writer_->call(Script::exchange));
        sizes.push_back(0);
        calls.back().add(holder_).add(name_).add(transaction.number <= last_number_ ? "1" : "0");
        calls.back().add(options_.lease.count()).add(std::exchange(renews, false) ? sharer_ : "");
      }
      redis::add_transaction(calls.back(), transaction, clock);
      ++sizes.back();
    }
    // From now on any of these may be there.
    for (const Transaction& transaction : transactions) {
      last_number_ = std::max(last_number_, transaction.number);
    }
    const Result<std::vector<Answer>> answers = writer_->run(Script::exchange, std::move(calls));
    if (!answers.ok()) return answers.error();
    for (std::size_t i = 0; i < answers->size(); ++i) {
      const Answer& answer = (*answers)[i];
      if (answer.word() == "fenced") {
        Error error = redis::fenced(answer, place());
        // Those before were still written.
        if (i > 0) error.code = ErrorCode::outcome_unknown;
        return error;
      }
      if (answer.size() != 3 || answer[1].size() != sizes[i]) {
        return Error{
            .code = ErrorCode::outcome_unknown,
            .message = fmt::format("`{}` answers with less than it was asked", writer_->place())};
      }
      for (std::size_t j = 0; j < sizes[i]; ++j)
        all.push_back(redis::read_exchanged(answer[1][j], place()));
      clock_.heard(answer[2]);
    }
    return all;
  }

  /// Runs `ask` on the connection of readers, which is made where there is none, and dropped where
  /// it fails.
  Result<void> with_reader(const std::function<Result<void>(Session&)>& ask) {
    const std::lock_guard reading(reader_mutex_);
    if (!is_open_) return closed();
    if (!reader_) {
      Result<std::unique_ptr<Session>> session = Session::open(options_);
      if (!session.ok()) return std::move(session).error();
      reader_ = *std::move(session);
    }
    Result<void> asked = ask(*reader_);
    if (asked.ok()) return asked;
    reader_.reset();
    return redis::without_outcome(std::move(asked).error());
  }

  Result<void> read_some(Session& session, std::span<const std::string> ids,
                         std::set<std::string>& seen, std::vector<StoredCustomer>& found) const {
    Command call = session.call(Script::read);
    for (const std::string& id : ids) call.add(id);
    const Result<Answer> answer = session.run(Script::read, std::move(call));
    if (!answer.ok()) return answer.error();
    if (answer->size() != 2) return {};
    const Value rows = (*answer)[1];
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].size() != 5) continue;
      const std::string_view asked = rows[i][0].text();
      const std::string_view alt = rows[i][1].text();
      std::string id(rows[i][2].text());
      if (!alt.empty() && !redis::leads_to(asked, alt, id)) {
        StoredCustomer unknown{.id = std::string(asked)};
        unknown.damage = Error{.code = ErrorCode::data_corrupt,
                               .message = fmt::format("the key `{}:a:{}` at `{}` is not what was "
                                                      "written",
                                                      options_.prefix, asked, session.place())};
        found.push_back(std::move(unknown));
        continue;
      }
      if (!seen.insert(id).second) continue;
      found.push_back(redis::read_customer_row(id, rows[i][3].text(), rows[i][4], session.place()));
    }
    return {};
  }

  Result<void> scan_with(Session& session, const std::optional<std::string>& after,
                         const std::function<bool(StoredCustomer)>& visit) {
    Command begin = session.call(Script::scan_begin);
    begin.add(scan_lease.count());
    const Result<Answer> begun = session.run(Script::scan_begin, std::move(begin));
    if (!begun.ok()) return begun.error();
    if (begun->word() != "ok" || begun->size() != 2) {
      return Error{.code = ErrorCode::data_corrupt,
                   .message = fmt::format("`{}` has lost keys: {} of {} customers are there; "
                                          "restore a backup",
                                          session.place(),
                                          begun->size() > 2 ? (*begun)[1].text() : "not all",
                                          begun->size() > 2 ? (*begun)[2].text() : "its")};
    }
    const std::string scan((*begun)[1].text());
    Result<void> scanned = scan_pages(session, scan, after ? "(" + *after : "-", visit);
    // What has failed is ended by its lease.
    if (!scanned.ok()) return scanned;
    Command end = session.call(Script::scan_end);
    end.add(scan);
    [[maybe_unused]] const auto ended = session.run(Script::scan_end, std::move(end));
    return scanned;
  }

  Result<void> scan_pages(Session& session, const std::string& scan, std::string from,
                          const std::function<bool(StoredCustomer)>& visit) {
    auto renewed = steady_clock::now();
    for (bool is_last = false; !is_last;) {
      Command call = session.call(Script::scan_page);
      // Not with each page: what writes is synced.
      const auto now = steady_clock::now();
      const bool renews = now - renewed > scan_lease / 4;
      if (renews) renewed = now;
      call.add(scan).add(renews ? scan_lease.count() : 0).add(from).add(page_size);
      const Result<Answer> page = session.run(Script::scan_page, std::move(call));
      if (!page.ok()) return page.error();
      if (page->word() != "ok" || page->size() != 3) {
        return Error{.code = ErrorCode::store_unavailable,
                     .message = fmt::format("the scan at `{}` was ended: nothing was asked for "
                                            "during {} ms",
                                            session.place(), scan_lease.count())};
      }
      const std::optional<std::string> end = visit_page(*page, session.place(), visit);
      is_last = !end;
      if (end) from = "(" + *end;
    }
    return {};
  }

  /// Visits the customers of a page, which are two lists in the order of IDs: those that are there,
  /// and those that were removed since. Gives up to where both reach; none where nothing is left,
  /// or wanted.
  static std::optional<std::string> visit_page(const Answer& page, const std::string& place,
                                               const std::function<bool(StoredCustomer)>& visit) {
    std::vector<Value> rows;
    std::optional<std::string> end;
    for (const std::size_t list : {std::size_t{1}, std::size_t{2}}) {
      const Value some = page[list];
      for (std::size_t i = 0; i < some.size(); ++i) {
        if (some[i].size() > 0) rows.push_back(some[i]);
      }
      if (some.size() < page_size) continue;
      const std::string last(rows.back()[0].text());
      end = end ? std::min(*end, last) : last;
    }
    std::ranges::stable_sort(rows, {}, [](const Value& row) { return row[0].text(); });
    std::optional<std::string_view> before;
    for (const Value& row : rows) {
      const std::string_view id = row[0].text();
      if (end && id > *end) break;
      // One that was made since is named without its row.
      if (before == id || row.size() != 3) continue;
      before = id;
      if (!visit(redis::read_customer_row(id, row[1].text(), row[2], place))) {
        return std::nullopt;
      }
    }
    return end;
  }

  Result<Status> status_of(Session& session) const {
    const Result<Answer> answer = session.run(Script::status, session.call(Script::status));
    if (!answer.ok()) return answer.error();
    Status status;
    status.kind = "redis";
    if (answer->size() != 9) return status;
    status.schema = static_cast<std::uint32_t>(redis::number_in((*answer)[1]));
    status.last_group = redis::number_in((*answer)[2]);
    status.customers = redis::number_in((*answer)[3]);
    status.requests = redis::number_in((*answer)[4]);
    if ((*answer)[5].text() == "1") status.owner = redis::owner_in(*answer, 6);
    return status;
  }

  Result<Status> read_status() {
    Status status;
    const auto ask = [&](Session& session) -> Result<void> {
      auto found = status_of(session);
      if (!found.ok()) return std::move(found).error();
      status = *std::move(found);
      return {};
    };
    if (auto asked = with_reader(ask); !asked.ok()) return std::move(asked).error();
    return status;
  }

  /// REQUIRES: the writer's mutex is held.
  void give_up(ErrorCode code) {
    if (code == ErrorCode::invalid_argument) return;
    writer_.reset();
    writer_failed_ = true;
  }

  // Whoever cannot be told now learns it from the lease.
  void shut(bool for_good) {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(reader_mutex_);
    if (writer_) {
      Command call = writer_->call(Script::close);
      call.add(is_owned_ ? holder_ : "").add(name_).add(for_good ? "1" : "0");
      [[maybe_unused]] const auto told = writer_->run(Script::close, std::move(call));
    }
    writer_.reset();
    reader_.reset();
    writer_failed_ = is_open_ = is_owned_ = is_shared_ = false;
  }

  const RedisOptions options_;
  const std::string name_ = redis::random_name();  // of this writer, over all reopening

  std::mutex writer_mutex_;
  std::unique_ptr<Session> writer_;
  redis::PlainGroups plain_groups_;  // guarded by writer_mutex_
  std::string holder_;               // `holder` as it was when we opened
  std::string sharer_;               // who we are, as it stands in `sharers`
  bool is_owned_ = false;
  bool is_shared_ = false;
  std::uint64_t last_number_ = 0;  // of the transactions that may be there
  steady_clock::time_point renewed_;
  redis::ServerClock clock_;  // guarded by writer_mutex_

  std::mutex reader_mutex_;
  std::unique_ptr<Session> reader_;
  std::atomic<bool> is_open_ = false;
  std::atomic<bool> writer_failed_ = false;
  bool is_cluster_ = false;  // guarded by writer_mutex_
};

// A store in whatever a URL leads to, which is known when it is first opened.
class EitherStore final : public Store {
public:
  explicit EitherStore(const RedisOptions& options)
      : server_(options), cluster_(redis::cluster_store(options)) {}

  Result<Opened> open(Access access, const Owner& owner) override {
    if (chosen_ == &server_) {
      Result<Opened> opened = server_.open(access, owner);
      if (opened.ok() || !server_.is_cluster()) return opened;
      chosen_ = cluster_.get();
    }
    return cluster_->open(access, owner);
  }
  Result<void> commit(const Group& group) override { return chosen_.load()->commit(group); }
  std::optional<Error> refusal(const Transaction& transaction) const override {
    return chosen_.load()->refusal(transaction);
  }
  Result<std::vector<Exchanged>> exchange(std::span<const Transaction> transactions) override {
    return chosen_.load()->exchange(transactions);
  }
  Result<void> renew() override { return chosen_.load()->renew(); }
  bool has_lost() override { return chosen_.load()->has_lost(); }
  Result<std::uint64_t> last_group() override { return chosen_.load()->last_group(); }
  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) override {
    return chosen_.load()->read(ids);
  }
  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(StoredCustomer)>& visit) override {
    return chosen_.load()->scan_after(after, visit);
  }
  Result<Status> status() override { return chosen_.load()->status(); }
  Result<void> close() override { return chosen_.load()->close(); }

private:
  RedisStore server_;
  const std::unique_ptr<Store> cluster_;
  std::atomic<Store*> chosen_ = &server_;  // Once it is the cluster, it stays that.
};

}  // namespace

std::unique_ptr<Store> redis_store(const RedisOptions& options) {
  return std::make_unique<EitherStore>(options);
}

}  // namespace limitr::store
