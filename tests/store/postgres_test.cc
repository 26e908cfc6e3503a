// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "postgres_server.h"
#include "store/postgres/keys.h"
#include "store/postgres/postgres_store.h"
#include "store/postgres/sha256.h"

// What the PostgreSQL store does besides the contract.
namespace limitr::store {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Postgres : public ::testing::Test {
protected:
  Postgres() { session().run("DROP SCHEMA IF EXISTS s CASCADE"); }

  static PostgresServer& server() { return PostgresServer::shared(); }
  static PostgresSession session() { return PostgresSession(server().url()); }
  static std::string text(const std::string& sql) { return session().text(sql); }

  /// Returns as soon as that is so.
  static void await(const std::string& sql, const std::string& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    PostgresSession asking(server().url("&options=-c%20synchronous_commit%3Dlocal"));
    while (asking.text(sql) != wanted) {
      if (std::chrono::steady_clock::now() < deadline) continue;
      ADD_FAILURE() << sql << " never gives " << wanted;
      return;
    }
  }

  static std::unique_ptr<Store> store(const std::string& parameters = {}) {
    return postgres_store({.url = server().url("&schema=s" + parameters)});
  }

  static Error refusal(PostgresOptions options, Access access = Access::own) {
    const auto opened = postgres_store(options)->open(access, an_owner());
    if (opened.ok()) ADD_FAILURE() << options.url << " was opened";
    return opened.ok() ? Error{} : opened.error();
  }
};

TEST_F(Postgres, AUrlThatIsNoneIsRefusedAndShowsNoPassword) {
  const std::string urls[] = {
      "postgres://ann:secret@host/db?schema=Bad",
      "postgres://ann:secret@host/db?schema=",
      "postgres://ann:secret@host/db?schema=pg_mine",
      "postgres://ann:secret@host/db?lease=5",
      "postgres://ann:secret@host/db?lease=ten",
      "postgres://ann:secret@host/db?no_such=1",
      "postgres://ann:secret%@host/db",
      "postgres://ann:sec@secret@host/db",
      "postgres://ann:1/secret@host/db",
      "postgres://ann:sec/secret@host/db",
      "postgres://ann:1?schema=secret@host/db?lease=1",
      "postgres://ann:1/db?secret@host/db",
      "postgres://ann:1#secret@host:port/db",
      "postgress://ann:secret@host/db",
  };
  for (const std::string& url : urls) {
    const Error error = refusal({.url = url});
    EXPECT_EQ(error.code, ErrorCode::invalid_argument) << url;
    EXPECT_THAT(error.message, Not(HasSubstr("secret"))) << url;
  }
}

TEST_F(Postgres, APasswordIsInNoMessage) {
  session().run(
      "DROP ROLE IF EXISTS guarded; CREATE ROLE guarded LOGIN PASSWORD 'right'; "
      "GRANT CREATE ON DATABASE postgres TO guarded");
  const Error wrong = refusal({.url = server().url_of("guarded:secret", "&schema=s")});
  EXPECT_EQ(wrong.code, ErrorCode::invalid_argument);
  EXPECT_THAT(wrong.message, HasSubstr("password authentication failed"));
  EXPECT_THAT(wrong.message, Not(HasSubstr("secret")));
  const Error nowhere = refusal({.url = "postgres://ann:secret@localhost:1/db?password=secret"});
  EXPECT_EQ(nowhere.code, ErrorCode::store_unavailable);
  EXPECT_THAT(nowhere.message, Not(HasSubstr("secret")));

  const auto right = postgres_store({.url = server().url_of("guarded:right", "&schema=s")});
  open_own(*right);
  must_commit(*right, a_group(1, {put("ann", "A")}));
  // Its connections end, and it can no longer come back.
  session().run(
      "ALTER ROLE guarded PASSWORD 'other'; "
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guarded'");
  const auto committed = right->commit(a_group(2, {put("ann", "A2")}));
  ASSERT_FALSE(committed.ok());
  EXPECT_THAT(committed.error().message, Not(HasSubstr("right")));
  const auto opened = right->open(Access::own, an_owner());
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.error().message, Not(HasSubstr("right")));
  session().run("DROP SCHEMA s CASCADE; DROP OWNED BY guarded");
}

TEST_F(Postgres, WhoMayNotIsTold) {
  session().run("DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN");
  const std::string url = server().url_of("poor", "&schema=s");
  EXPECT_THAT(refusal({.url = url}).message, HasSubstr("permission denied"));
  EXPECT_EQ(refusal({.url = url}).code, ErrorCode::invalid_argument);
  EXPECT_EQ(text("SELECT count(*) FROM pg_namespace WHERE nspname = 's'"), "0");
  // A schema of its own is enough.
  session().run("CREATE SCHEMA s AUTHORIZATION poor");
  const auto made = postgres_store({.url = url});
  open_own(*made);
  must_commit(*made, a_group(1, {put("ann", "A")}));

  session().run(
      "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; "
      "GRANT USAGE ON SCHEMA s TO reader");
  const std::string of_reader = server().url_of("reader", "&schema=s");
  EXPECT_THAT(refusal({.url = of_reader}, Access::read).message, HasSubstr("permission denied"));
  session().run(
      "GRANT SELECT ON ALL TABLES IN SCHEMA s TO reader; "
      "GRANT SELECT ON ALL SEQUENCES IN SCHEMA s TO reader");
  const auto reader = postgres_store({.url = of_reader});
  ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
  EXPECT_EQ(record_of(*reader, "ann"), "A");
  ASSERT_TRUE(made->close().ok());
  EXPECT_THAT(refusal({.url = of_reader}).message, HasSubstr("permission denied"));
  session().run("DROP SCHEMA s CASCADE; DROP OWNED BY reader, poor; DROP ROLE reader, poor");
}

TEST_F(Postgres, ASchemaThatIsNotThereIsNotMadeForReading) {
  const Error error = refusal({.url = server().url("&schema=s")}, Access::read);
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("nobody has written to it yet"));
  EXPECT_EQ(text("SELECT count(*) FROM pg_namespace WHERE nspname = 's'"), "0");
}

TEST_F(Postgres, AnotherProgramsSchemaIsLeftAlone) {
  session().run("CREATE SCHEMA s; CREATE TABLE s.notes (text text)");
  const Error error = refusal({.url = server().url("&schema=s")});
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("another program"));
  EXPECT_EQ(text("SELECT count(*) FROM pg_class WHERE relnamespace = 's'::regnamespace"), "1");
}

TEST_F(Postgres, ANewerSchemaIsNamed) {
  open_own(*store());
  session().run("UPDATE s.limitr SET value = 9 WHERE key = 'schema'");
  const Error error = refusal({.url = server().url("&schema=s")});
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("newer limitr"));
}

TEST_F(Postgres, ADatabaseThatDoesNotTakeEveryTextIsRefused) {
  session().run("DROP DATABASE IF EXISTS latin");
  session().run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
  const std::string url = "postgres://postgres@/latin?host=" + server().folder() + "&schema=s";
  EXPECT_THAT(refusal({.url = url}).message, HasSubstr("LATIN1"));
  EXPECT_THAT(refusal({.url = "postgres://postgres@/none?host=" + server().folder()}).message,
              HasSubstr("does not exist"));
}

TEST_F(Postgres, TwoThatMakeTheTablesAtOnceBothFindThem) {
  for (int round = 0; round < 5; ++round) {
    session().run("DROP SCHEMA IF EXISTS s CASCADE");
    const auto one = store();
    const auto other = store();
    std::thread second([&] { EXPECT_TRUE(other->open(Access::share, an_owner("b")).ok()); });
    EXPECT_TRUE(one->open(Access::share, an_owner("a")).ok());
    second.join();
    EXPECT_EQ(text("SELECT count(*) FROM s.sharers"), "2");
  }
}

TEST_F(Postgres, WeakerDurabilityMustBeAccepted) {
  const std::string weak = server().url("&schema=s&options=-c%20synchronous_commit%3Doff");
  const Error refused = refusal({.url = weak});
  EXPECT_EQ(refused.code, ErrorCode::store_weaker);
  EXPECT_THAT(refused.message, HasSubstr("synchronous_commit is off"));
  const auto accepting = postgres_store({.url = weak, .accept_weaker = true});
  const auto opened = accepting->open(Access::share, an_owner());
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  EXPECT_THAT(opened->weaker.value_or(""), HasSubstr("synchronous_commit is off"));
  EXPECT_EQ(accepting->status()->weaker, opened->weaker);
  ASSERT_TRUE(accepting->close().ok());

  for (const std::string setting : {"fsync", "full_page_writes"}) {
    session().run("ALTER SYSTEM SET " + setting + " = off");
    session().run("SELECT pg_reload_conf()");
    await("SHOW " + setting, "off");
    EXPECT_THAT(refusal({.url = server().url("&schema=s")}).message,
                HasSubstr(setting + " is off"));
    session().run("ALTER SYSTEM RESET " + setting);
    session().run("SELECT pg_reload_conf()");
    await("SHOW " + setting, "on");
  }
  EXPECT_EQ(open_own(*store()).weaker, std::nullopt);
}

// As with a standby that the commit waits for, which `local` does not.
TEST_F(Postgres, NotToWaitForAStandbyIsWeaker) {
  session().run("ALTER SYSTEM SET synchronous_standby_names = 'other'");
  session().run("SELECT pg_reload_conf()");
  const auto local = server().url("&schema=s&options=-c%20synchronous_commit%3Dlocal");
  await("SHOW synchronous_standby_names", "other");
  EXPECT_THAT(refusal({.url = local}).message, HasSubstr("synchronous_commit is local"));
  session().run("ALTER SYSTEM RESET synchronous_standby_names");
  session().run("SELECT pg_reload_conf()");
  await("SHOW synchronous_standby_names", "");
  EXPECT_TRUE(postgres_store({.url = local})->open(Access::own, an_owner()).ok());
}

/// Opens as soon as the lease of whoever had it has run out.
Opened open_once_free(Store& store, Access access) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (true) {
    Result<Opened> opened = store.open(access, an_owner("successor"));
    if (opened.ok()) return *std::move(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::store_owned);
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "the lease never runs out";
      return {};
    }
  }
}

TEST_F(Postgres, AnOwnerWhoseLeaseRanOutIsFencedByItsSuccessorAndNotBefore) {
  const auto stale = store("&lease=150");
  EXPECT_EQ(open_own(*stale).renew_every, Millis(50));
  must_commit(*stale, a_group(1, {put("ann", "A1")}));
  await("SELECT lease_until < s.now_ms() FROM s.owner", "t");
  must_commit(*stale, a_group(2, {put("ann", "A2")}));  // Nobody has come.
  const auto successor = store("&lease=60000");
  EXPECT_EQ(open_once_free(*successor, Access::own).last_group, 2U);
  const auto fenced = stale->commit(a_group(3, {put("ann", "stale")}));
  ASSERT_EQ(failure(fenced), ErrorCode::store_fenced);
  EXPECT_THAT(fenced.error().message,
              HasSubstr("process 4711 on successor since 2026-03-01T09:00"));
  EXPECT_EQ(record_of(*successor, "ann"), "A2");
  EXPECT_EQ(failure(stale->open(Access::own, an_owner())), ErrorCode::store_owned);
  must_commit(*successor, a_group(3, {put("ann", "A3")}));
}

TEST_F(Postgres, AnOwnerWhoseLeaseRanOutAndOpensAgainTakesNothingFromItsSuccessor) {
  const auto stale = store();
  open_own(*stale);
  session().run("UPDATE s.owner SET lease_until = 0");
  const auto successor = store("&lease=60000");
  open_own(*successor);
  EXPECT_EQ(failure(stale->open(Access::own, an_owner())), ErrorCode::store_owned);
  must_commit(*successor, a_group(1, {put("ann", "A1")}));
}

TEST_F(Postgres, ALeaseThatIsRenewedKeepsOthersOut) {
  const auto owner = store("&lease=60000");
  open_own(*owner);
  session().run("UPDATE s.owner SET lease_until = s.now_ms() + 100");
  ASSERT_TRUE(owner->renew().ok());
  EXPECT_EQ(text("SELECT lease_until > s.now_ms() + 50000 FROM s.owner"), "t");
  EXPECT_EQ(failure(store()->open(Access::own, an_owner())), ErrorCode::store_owned);
  session().run("UPDATE s.owner SET lease_until = 0");
  const auto successor = store();
  open_own(*successor);
  EXPECT_EQ(failure(owner->renew()), ErrorCode::store_fenced);
}

Transaction a_write(std::uint64_t number, std::uint64_t version, CustomerWrite write) {
  std::string id = write.id;
  return {.number = number,
          .parts = {{.id = std::move(id), .version = version, .write = std::move(write)}}};
}

TEST_F(Postgres, OneWhoSharedAndWasGivenUpIsFenced) {
  const auto sharer = store();
  ASSERT_TRUE(sharer->open(Access::share, an_owner()).ok());
  const auto made = sharer->exchange(std::vector{a_write(1, 0, put("ann", "A1"))});
  ASSERT_TRUE(made.ok());
  session().run("UPDATE s.sharers SET lease_until = 0");
  const auto owner = store();
  open_own(*owner);
  const std::uint64_t version = (*made)[0].versions[0];
  EXPECT_EQ(failure(sharer->exchange(std::vector{a_write(2, version, put("ann", "stale"))})),
            ErrorCode::store_fenced);
  EXPECT_EQ(record_of(*owner, "ann"), "A1");
}

// A successor waits for a group that is on its way, and then it is there.
TEST_F(Postgres, TakingOverWaitsForAGroupThatIsBeingWritten) {
  const auto owner = store();
  open_own(*owner);
  auto group = session();
  group.run("BEGIN; UPDATE s.owner SET lease_until = 0");
  const auto successor = store();
  std::atomic<bool> is_open = false;
  std::thread taking([&] {
    open_own(*successor);
    is_open = true;
  });
  await(
      "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
      " AND application_name = 'limitr'",
      "1");
  EXPECT_FALSE(is_open);
  group.run("COMMIT");
  taking.join();
  EXPECT_TRUE(is_open);
}

TEST_F(Postgres, AServerThatTakesNoWritesIsReadAndSaysSo) {
  open_own(*store());
  const auto reader = store("&options=-c%20default_transaction_read_only%3Don");
  ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
  const auto refused = reader->open(Access::own, an_owner());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("is it a standby?"));
}

// The statement that fails stands at the end of the group.
TEST_F(Postgres, AGroupThatFailsInTheMiddleLeavesNothing) {
  const auto owner = store();
  open_own(*owner);
  must_commit(*owner, a_group(1, {put("ann", "A1", {"x"}), put("bob", "B1")}));
  session().run(
      "CREATE FUNCTION s.no() RETURNS trigger LANGUAGE plpgsql AS"
      " $$BEGIN RAISE EXCEPTION 'not her'; END$$;"
      "CREATE TRIGGER no BEFORE INSERT ON s.requests FOR EACH ROW EXECUTE FUNCTION s.no()");
  Group group = a_group(2, {put("ann", "A2", {"y"}), removal("bob"), put("zoe", "Z")});
  group.customers[0].new_requests = {a_request(1)};
  group.policy = "P";
  const auto refused = owner->commit(group);
  ASSERT_EQ(failure(refused), ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("not her"));
  session().run("DROP TRIGGER no ON s.requests");
  const Opened opened = open_own(*owner);
  EXPECT_EQ(opened.last_group, 1U);
  EXPECT_EQ(opened.customers, 2U);
  EXPECT_EQ(opened.policy, std::nullopt);
  EXPECT_EQ(record_of(*owner, "x"), "A1");
  EXPECT_EQ(record_of(*owner, "y"), "-");
  EXPECT_TRUE(read_one(*owner, "ann")->requests.empty());
}

TEST_F(Postgres, AGroupOfManyChunksIsOneGroup) {
  constexpr int many = 6'000;
  const auto owner = store();
  open_own(*owner);
  Group group = a_group(1, {});
  for (int i = 0; i < many; ++i) {
    const std::string id = "customer " + std::to_string(i);
    group.customers.push_back(put(id, std::string(1'200, 'r'), {"alt of " + id}));
  }
  must_commit(*owner, group);
  // All alternate IDs go to the next one, over the borders of chunks.
  group.number = 2;
  for (int i = 0; i < many; ++i) {
    group.customers[static_cast<std::size_t>(i)].alt_ids = {"alt of customer " +
                                                            std::to_string((i + 1) % many)};
  }
  must_commit(*owner, group);
  EXPECT_EQ(text("SELECT count(*), count(DISTINCT version), min(version) FROM s.customers"),
            "6000|1|2");
  EXPECT_EQ(text("SELECT count(*) FROM s.alt_ids a JOIN s.customers c ON c.id = a.customer"
                 " AND c.alt_ids = ARRAY[a.alt]"),
            "6000");
  EXPECT_EQ(read_one(*owner, "alt of customer 0")->id, "customer 5999");
  EXPECT_EQ(read_one(*owner, "alt of customer 1")->id, "customer 0");
}

TEST_F(Postgres, KeysBeginWithTheFamily) {
  const auto owner = store();
  open_own(*owner);
  must_commit(*owner, a_group(1, {put("user{acme}1", "U", {"login{acme}", "mail@x"}),
                                  put("org{acme}", "O"), put("solo", "S"), put("{}odd{x}", "E")}));
  EXPECT_EQ(text("SELECT family, id FROM s.customers ORDER BY id"),
            "acme|org{acme} solo|solo acme|user{acme}1 {}odd{x}|{}odd{x}");
  EXPECT_EQ(text("SELECT family, alt, customer_family, customer FROM s.alt_ids ORDER BY alt"),
            "acme|login{acme}|acme|user{acme}1 mail@x|mail@x|acme|user{acme}1");
}

// Texts that no column takes, or no key: they come back, and in their order.
TEST_F(Postgres, OddAndLongIdsKeepTheirOrder) {
  const std::string long_text(3'000, 'l');
  std::vector<std::string> ids = {"",
                                  "a",
                                  std::string("a\0", 2),
                                  "b",
                                  "\\x61",
                                  "z",
                                  long_text + "a",
                                  long_text + "b",
                                  long_text,
                                  std::string(300, '\xff'),
                                  "\xff",
                                  "m",
                                  "\xc3\xa9"};
  const auto owner = store();
  open_own(*owner);
  Group group = a_group(1, {});
  for (const std::string& id : ids) group.customers.push_back(put(id, "of " + id, {"alt " + id}));
  must_commit(*owner, group);
  std::sort(ids.begin(), ids.end());
  std::vector<std::string> found;
  for (const StoredCustomer& customer : scan_all(*owner)) {
    EXPECT_EQ(customer.damage, std::nullopt) << customer.id;
    EXPECT_EQ(customer.record, "of " + customer.id);
    found.push_back(customer.id);
  }
  EXPECT_EQ(found, ids);
  for (const std::string& id : ids) EXPECT_EQ(record_of(*owner, "alt " + id), "of " + id);
}

TEST_F(Postgres, LongTextsAreToldApartByASumOfAllOfThem) {
  EXPECT_EQ(postgres::sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(postgres::sha256(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_NE(postgres::key_text(std::string(600, 'a')), postgres::key_text(std::string(601, 'a')));
  EXPECT_EQ(postgres::text_of(postgres::column_text("\\x41")), "\\x41");
}

// kill -9 of the whole server while groups are written.
TEST_F(Postgres, AServerThatDiesLosesNoAnsweredGroupAndTearsNone) {
  for (int round = 0; round < 2; ++round) {
    const auto owner = store();
    std::uint64_t number = open_own(*owner).last_group;
    std::atomic<std::uint64_t> answered = number;
    std::thread writing([&] {
      while (true) {
        const std::string text = std::to_string(++number);
        const auto committed = owner->commit(
            a_group(number, {put("a", text, {"alt " + text}), put("b", text), put("c", text)}));
        if (!committed.ok()) {
          EXPECT_THAT(committed.error().code,
                      AnyOf(ErrorCode::outcome_unknown, ErrorCode::store_unavailable));
          return;
        }
        answered = number;
      }
    });
    const std::uint64_t before = answered;
    while (answered < before + 20) {
    }
    server().kill();
    writing.join();
    EXPECT_EQ(failure(owner->open(Access::own, an_owner())), ErrorCode::store_unavailable);
    server().start();
    const Opened opened = open_own(*owner);
    EXPECT_GE(opened.last_group, answered);
    EXPECT_LE(opened.last_group, answered + 1);
    const std::string last = std::to_string(opened.last_group);
    for (const char* id : {"a", "b", "c"}) EXPECT_EQ(record_of(*owner, id), last);
    EXPECT_EQ(read_one(*owner, "alt " + last)->version, opened.last_group);
  }
}

TEST_F(Postgres, AServerThatDiesLosesNoAnsweredExchangeAndDoesNoneTwice) {
  const auto sharer = store();
  ASSERT_TRUE(sharer->open(Access::share, an_owner()).ok());
  std::atomic<int> count = 0;
  Transaction last;
  std::thread writing([&] {
    std::uint64_t version = 0;
    for (std::uint64_t number = 1;; ++number) {
      last = a_write(number, version, put("counter", std::to_string(count + 1)));
      const auto exchanged = sharer->exchange(std::vector{last});
      if (!exchanged.ok()) return;
      version = (*exchanged)[0].versions.at(0);
      ++count;
    }
  });
  while (count < 20) {
  }
  server().kill();
  writing.join();
  server().start();
  ASSERT_TRUE(sharer->open(Access::share, an_owner()).ok());
  const auto again = sharer->exchange(std::vector{last});
  ASSERT_TRUE(again.ok() && (*again)[0].is_written);
  EXPECT_EQ(record_of(*sharer, "counter"), std::to_string(count + 1));
}

// Neither a caller nor whoever closes waits for ever.
TEST_F(Postgres, AServerThatStandsStillHoldsNobodyForEver) {
  const auto owner = postgres_store(
      {.url = server().url("&schema=s"), .connect_timeout = Millis(100), .timeout = Millis(100)});
  open_own(*owner);
  must_commit(*owner, a_group(1, {put("ann", "A1")}));
  server().stand_still();
  EXPECT_EQ(failure(owner->commit(a_group(2, {put("ann", "A2")}))), ErrorCode::outcome_unknown);
  EXPECT_EQ(failure(owner->read({})), ErrorCode::store_unavailable);
  EXPECT_EQ(failure(owner->open(Access::own, an_owner())), ErrorCode::store_unavailable);
  server().go_on();
  Result<Opened> opened = owner->open(Access::own, an_owner());
  while (!opened.ok()) opened = owner->open(Access::own, an_owner());
  EXPECT_EQ(record_of(*owner, "ann"), opened->last_group == 2 ? "A2" : "A1");
}

/// A server's socket as it is seen through a network that loses what it is told to.
class Proxy {
public:
  explicit Proxy(std::string server) : server_(std::move(server)) {
    listening_ = listen_at(folder_.file(name));
    thread_ = std::thread([this] { serve(); });
  }
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;
  ~Proxy() {
    stop_ = true;
    thread_.join();
    ::close(listening_);
  }

  std::string url() const {
    return "postgres://postgres@/postgres?schema=s&host=" + folder_.path();
  }

  /// From now on, answers of the server get lost; requests reach it.
  std::atomic<bool> loses_answers = false;
  /// From now on, the connections that there are end.
  std::atomic<bool> cuts = false;

private:
  static constexpr const char* name = ".s.PGSQL.5432";

  struct Pair {
    int client;
    int server;
  };

  static ::sockaddr_un address_of(const std::string& path) {
    ::sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }

  static int listen_at(const std::string& path) {
    const int file = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const ::sockaddr_un address = address_of(path);
    EXPECT_EQ(::bind(file, reinterpret_cast<const ::sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(file, 20), 0);
    return file;
  }

  void accept_one() {
    const int client = ::accept(listening_, nullptr, nullptr);
    const int server = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const ::sockaddr_un address = address_of(server_ + "/" + name);
    EXPECT_EQ(::connect(server, reinterpret_cast<const ::sockaddr*>(&address), sizeof address), 0);
    pairs_.push_back({client, server});
  }

  /// False at the end of the connection.
  static bool pass(int from, int to, bool is_lost) {
    char bytes[65'536];
    const ssize_t size = ::recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EINTR);
    for (ssize_t sent = 0; !is_lost && sent < size;) {
      const ssize_t more =
          ::send(to, bytes + sent, static_cast<std::size_t>(size - sent), MSG_NOSIGNAL);
      if (more <= 0) return false;
      sent += more;
    }
    return true;
  }

  void serve() {
    while (!stop_) {
      std::vector<::pollfd> waiting = {{.fd = listening_, .events = POLLIN, .revents = 0}};
      for (const Pair& pair : pairs_) {
        waiting.push_back({.fd = pair.client, .events = POLLIN, .revents = 0});
        waiting.push_back({.fd = pair.server, .events = POLLIN, .revents = 0});
      }
      ::poll(waiting.data(), waiting.size(), 10);
      std::erase_if(pairs_, [&](const Pair& pair) {
        if (!cuts && pass(pair.client, pair.server, false) &&
            pass(pair.server, pair.client, loses_answers)) {
          return false;
        }
        ::close(pair.client);
        ::close(pair.server);
        return true;
      });
      cuts = false;
      if ((waiting[0].revents & POLLIN) != 0) accept_one();
    }
    for (const Pair& pair : pairs_) ::close(pair.client), ::close(pair.server);
  }

  const TestFolder folder_;
  const std::string server_;
  int listening_;
  std::vector<Pair> pairs_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST_F(Postgres, AnAnswerThatIsLostLeavesTheOutcomeUnknownAndTheGroupTells) {
  Proxy proxy(server().folder());
  const auto owner = postgres_store({.url = proxy.url()});
  open_own(*owner);
  must_commit(*owner, a_group(1, {put("ann", "A1")}));
  proxy.loses_answers = true;
  std::thread cutting([&] {
    await("SELECT last_group FROM s.owner", "2");
    proxy.cuts = true;
  });
  EXPECT_EQ(failure(owner->commit(a_group(2, {put("ann", "A2")}))), ErrorCode::outcome_unknown);
  cutting.join();
  proxy.loses_answers = false;
  EXPECT_EQ(open_own(*owner).last_group, 2U);
  EXPECT_EQ(record_of(*owner, "ann"), "A2");
}

TEST_F(Postgres, AnExchangeWhoseAnswerIsLostIsDoneOnce) {
  Proxy proxy(server().folder());
  const auto sharer = postgres_store({.url = proxy.url()});
  ASSERT_TRUE(sharer->open(Access::share, an_owner()).ok());
  proxy.loses_answers = true;
  std::thread cutting([&] {
    await("SELECT count(*) FROM s.customers", "1");
    proxy.cuts = true;
  });
  const std::vector transactions = {a_write(1, 0, put("ann", "A1"))};
  EXPECT_EQ(failure(sharer->exchange(transactions)), ErrorCode::outcome_unknown);
  cutting.join();
  proxy.loses_answers = false;
  ASSERT_TRUE(sharer->open(Access::share, an_owner()).ok());
  const auto again = sharer->exchange(transactions);
  ASSERT_TRUE(again.ok() && (*again)[0].is_written);
  EXPECT_EQ((*again)[0].versions.at(0), read_one(*sharer, "ann")->version);
}

TEST_F(Postgres, AConnectionThatWasLostBeforeIsNoUnknownOutcome) {
  const auto owner = store();
  open_own(*owner);
  must_commit(*owner, a_group(1, {put("ann", "A1")}));
  session().run(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
      " WHERE application_name = 'limitr'");
  await("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'limitr'", "0");
  EXPECT_EQ(failure(owner->commit(a_group(2, {put("ann", "A2")}))), ErrorCode::store_unavailable);
  EXPECT_EQ(open_own(*owner).last_group, 1U);
  must_commit(*owner, a_group(2, {put("ann", "A2")}));
}

// A statement that waits for longer than it may is ended by the server: nothing was done.
TEST_F(Postgres, ALockThatIsHeldIsWaitedForAndThenNothingWasWritten) {
  const auto owner = postgres_store({.url = server().url("&schema=s"), .timeout = Millis(200)});
  open_own(*owner);
  must_commit(*owner, a_group(1, {put("ann", "A1")}));
  auto other = session();
  other.run("BEGIN; SELECT * FROM s.customers FOR UPDATE");
  EXPECT_EQ(failure(owner->commit(a_group(2, {put("ann", "A2")}))), ErrorCode::store_unavailable);
  other.run("ROLLBACK");
  EXPECT_EQ(open_own(*owner).last_group, 1U);
  must_commit(*owner, a_group(2, {put("ann", "A2")}));
}

// Two create the same ID, or one an ID and the other the same alternate ID: one of them wins.
TEST_F(Postgres, OfTwoThatMakeOneNameAtOnceExactlyOneWins) {
  const auto one = store();
  const auto other = store();
  ASSERT_TRUE(one->open(Access::share, an_owner()).ok());
  ASSERT_TRUE(other->open(Access::share, an_owner()).ok());
  for (std::uint64_t round = 1; round <= 100; ++round) {
    const std::string name = "name " + std::to_string(round);
    Transaction mine = a_write(round, 0, put(name, "mine"));
    Transaction theirs = a_write(round, 0, put(name, "theirs"));
    if (round % 2 == 0) {
      theirs = a_write(round, 0, put("their " + name, "theirs", {name}));
      theirs.parts.push_back({.id = name});
    }
    Result<std::vector<Exchanged>> other_answer = std::vector<Exchanged>();
    std::thread second([&] { other_answer = other->exchange(std::vector{theirs}); });
    const auto answer = one->exchange(std::vector{mine});
    second.join();
    ASSERT_TRUE(answer.ok() && other_answer.ok());
    const bool is_mine = (*answer)[0].is_written;
    ASSERT_NE(is_mine, (*other_answer)[0].is_written) << name;
    const Exchanged& loser = is_mine ? (*other_answer)[0] : (*answer)[0];
    ASSERT_EQ(loser.current.size(), 1U);
    EXPECT_EQ(loser.current[0].record, is_mine ? "mine" : "theirs");
    EXPECT_EQ(record_of(*one, name), is_mine ? "mine" : "theirs");
  }
}

// Two that lock the same customers in other orders wait for each other, and never in a circle.
TEST_F(Postgres, TransactionsOverTheSameCustomersNeverBlockEachOther) {
  constexpr int customers = 8;
  constexpr int moves = 100;
  const auto first = store();
  ASSERT_TRUE(first->open(Access::share, an_owner()).ok());
  std::vector<Transaction> make;
  for (int i = 0; i < customers; ++i) {
    make.push_back(a_write(static_cast<std::uint64_t>(i + 1), 0, put(std::to_string(i), "100")));
  }
  ASSERT_TRUE(first->exchange(make).ok());
  const auto move = [&](unsigned seed) {
    const auto sharer = store();
    ASSERT_TRUE(sharer->open(Access::share, an_owner()).ok());
    std::map<std::string, StoredCustomer> known;
    for (StoredCustomer& customer : scan_all(*sharer)) known[customer.id] = customer;
    std::uint64_t number = 0;
    for (int done = 0; done < moves;) {
      seed = seed * 1'103'515'245U + 12'345U;
      const std::string from = std::to_string(seed >> 8U & 7U);
      const std::string to = std::to_string(seed >> 16U & 7U);
      if (from == to) continue;
      Transaction transaction =
          a_write(++number, known[from].version,
                  put(from, std::to_string(std::stoi(known[from].record) - 1)));
      transaction.parts.push_back(
          {.id = to,
           .version = known[to].version,
           .write = put(to, std::to_string(std::stoi(known[to].record) + 1))});
      const auto exchanged = sharer->exchange(std::vector{transaction});
      ASSERT_TRUE(exchanged.ok()) << exchanged.error().to_string();
      const Exchanged& answer = (*exchanged)[0];
      for (const StoredCustomer& customer : answer.current) known[customer.id] = customer;
      if (!answer.is_written) continue;
      for (std::size_t i = 0; i < 2; ++i) {
        known[transaction.parts[i].id].version = answer.versions[i];
        known[transaction.parts[i].id].record = *transaction.parts[i].write->record;
      }
      ++done;
    }
  };
  std::thread second([&] { move(1); });
  std::thread third([&] { move(2); });
  move(3);
  second.join();
  third.join();
  int sum = 0;
  for (const StoredCustomer& customer : scan_all(*first)) sum += std::stoi(customer.record);
  EXPECT_EQ(sum, 100 * customers);
  EXPECT_EQ(text("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), "0");
}

class PostgresDamage : public Postgres {
protected:
  PostgresDamage() {
    open_own(*owner_);
    Group group = a_group(1, {put("ann", "A", {"x"}), put("bob", "B")});
    group.customers[0].new_requests = {a_request(1), a_request(2)};
    group.estimates = "E";
    group.policy = "P";
    must_commit(*owner_, group);
  }

  const std::unique_ptr<Store> owner_ = store();
};

TEST_F(PostgresDamage, ADamagedRecordIsNamedAndKeptAsideAndTheRestLoads) {
  for (const char* change : {"record = 'a'", "version = 7", "checksum = checksum # 16"}) {
    must_commit(*owner_, a_group(*owner_->last_group() + 1, {put("ann", "A", {"x"})}));
    session().run(std::string("UPDATE s.customers SET ") + change + " WHERE id = 'ann'");
    for (const char* name : {"ann", "x"}) {
      const auto found = read_one(*owner_, name);
      ASSERT_TRUE(found && found->damage) << change;
      EXPECT_EQ(found->damage->code, ErrorCode::data_corrupt);
      EXPECT_EQ(found->id, "ann");
      EXPECT_EQ(found->record, "");
    }
    const auto all = scan_all(*owner_);
    ASSERT_EQ(all.size(), 2U);
    EXPECT_TRUE(all[0].damage);
    EXPECT_EQ(all[1].damage, std::nullopt);
  }
  EXPECT_EQ(text("SELECT count(*), count(DISTINCT kind), min(id) FROM s.damaged"), "3|1|ann");
  must_commit(*owner_, a_group(9, {put("ann", "new")}));
  EXPECT_EQ(record_of(*owner_, "ann"), "new");
}

TEST_F(PostgresDamage, AReaderNamesDamageAndWritesNothing) {
  session().run("UPDATE s.customers SET record = 'a' WHERE id = 'ann'");
  const auto reader = store();
  ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
  EXPECT_TRUE(read_one(*reader, "ann")->damage);
  EXPECT_EQ(text("SELECT count(*) FROM s.damaged"), "0");
}

TEST_F(PostgresDamage, ADamagedRequestLeavesItsCustomerGood) {
  session().run("UPDATE s.requests SET answer = 'no' WHERE number = 1");
  const auto found = read_one(*owner_, "ann");
  ASSERT_TRUE(found && found->damage);
  EXPECT_EQ(found->record, "A");
  EXPECT_THAT(found->requests, ElementsAre(a_request(2)));
  EXPECT_EQ(text("SELECT kind, content FROM s.damaged"), "request|no");
}

TEST_F(PostgresDamage, AnAlternateIdThatLeadsAstrayLeadsNowhere) {
  session().run("UPDATE s.alt_ids SET customer = 'bob', customer_family = 'bob'");
  const auto found = read_one(*owner_, "x");
  ASSERT_TRUE(found && found->damage);
  EXPECT_EQ(found->id, "x");
  EXPECT_EQ(found->record, "");
  const auto all = scan_all(*owner_);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_TRUE(all[2].damage);
}

TEST_F(PostgresDamage, ADamagedTextIsNamedWhenTheStoreOpens) {
  session().run("UPDATE s.texts SET text = 'e' WHERE name = 'estimates'");
  const Opened opened = open_own(*owner_);
  EXPECT_EQ(opened.estimates, std::nullopt);
  EXPECT_EQ(opened.policy, "P");
  ASSERT_EQ(opened.damage.size(), 1U);
  EXPECT_THAT(opened.damage[0].message, HasSubstr("`estimates`"));
  EXPECT_EQ(text("SELECT content FROM s.damaged"), "e");
}

TEST_F(PostgresDamage, WithoutAGoodOwnerRowNothingIsWritten) {
  session().run("UPDATE s.owner SET last_group = 0");
  EXPECT_EQ(failure(owner_->open(Access::own, an_owner())), ErrorCode::data_corrupt);
}

}  // namespace
}  // namespace limitr::store
