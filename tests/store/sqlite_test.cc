// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "backends.h"
#include "sqlite_file.h"
#include "store/sqlite/sqlite_store.h"

// What the SQLite store does besides the contract: what it opens, and who owns a file.
namespace limitr::store {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;

class Sqlite : public ::testing::Test {
protected:
  std::unique_ptr<Store> at(const std::string& path) {
    return sqlite_store({.path = path, .busy_timeout = Millis(0)});
  }

  Error refusal(const std::string& path, Access access = Access::own) {
    const auto opened = at(path)->open(access, an_owner());
    if (opened.ok()) ADD_FAILURE() << path << " was opened";
    return opened.ok() ? Error{} : opened.error();
  }

  const TestFolder folder_;
  const std::string path_ = folder_.file("s.db");
};

TEST_F(Sqlite, AFolderIsNoStore) {
  EXPECT_EQ(refusal(folder_.path()).code, ErrorCode::invalid_argument);
  EXPECT_THAT(refusal(folder_.path()).message, HasSubstr("is no file"));
}

TEST_F(Sqlite, AMissingFolderIsNamed) {
  const Error error = refusal(folder_.file("none/s.db"));
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("no such folder"));
}

TEST_F(Sqlite, AMissingFileIsNotMadeForReading) {
  const Error error = refusal(path_, Access::read);
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(Sqlite, AFileThatIsNoDatabaseIsLeftAlone) {
  std::ofstream(path_) << std::string(10'000, 'x');
  for (const Access access : {Access::own, Access::read}) {
    const Error error = refusal(path_, access);
    EXPECT_EQ(error.code, ErrorCode::invalid_argument);
    EXPECT_THAT(error.message, HasSubstr("no SQLite database"));
  }
  EXPECT_EQ(fs::file_size(path_), 10'000U);
}

TEST_F(Sqlite, AnotherProgramsDatabaseIsLeftAlone) {
  SqliteFile(path_).run("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')");
  const Error error = refusal(path_);
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("another program's database"));
  EXPECT_EQ(SqliteFile(path_).text("SELECT count(*) FROM sqlite_schema"), "1");
  EXPECT_EQ(SqliteFile(path_).text("PRAGMA journal_mode"), "delete");
}

TEST_F(Sqlite, ANewerSchemaIsNamed) {
  open_own(*at(path_));
  SqliteFile(path_).run(
      "PRAGMA user_version = 9; UPDATE limitr SET value = 9 WHERE key = 'schema'");
  const Error error = refusal(path_);
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("newer limitr"));
}

TEST_F(Sqlite, WeakerDurabilityMustBeAccepted) {
  SqliteOptions options{.path = path_, .synchronous = Synchronous::normal};
  const auto refused = sqlite_store(options)->open(Access::own, an_owner());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::store_weaker);
  options.accept_weaker = true;
  EXPECT_TRUE(sqlite_store(options)->open(Access::own, an_owner()).ok());
}

TEST_F(Sqlite, SpellingsOfOnePathMeetOneOwner) {
  fs::create_directory(folder_.file("real"));
  fs::create_directory_symlink("real", folder_.file("link"));
  const auto owner = at(folder_.file("real/s.db"));
  open_own(*owner);
  fs::create_symlink("real/s.db", folder_.file("other.db"));
  EXPECT_EQ(refusal(folder_.file("link/s.db")).code, ErrorCode::store_owned);
  EXPECT_EQ(refusal(folder_.file("real/../link/./s.db")).code, ErrorCode::store_owned);
  EXPECT_EQ(refusal(folder_.file("other.db")).code, ErrorCode::store_owned);
  EXPECT_EQ(refusal(fs::relative(folder_.file("real/s.db")).string()).code, ErrorCode::store_owned);
}

TEST_F(Sqlite, AFileOfTwoNamesIsRefused) {
  open_own(*at(path_));
  fs::create_hard_link(path_, folder_.file("again.db"));
  EXPECT_THAT(refusal(path_).message, HasSubstr("more than one name"));
  fs::create_symlink("nowhere", folder_.file("dangling.db"));
  EXPECT_THAT(refusal(folder_.file("dangling.db")).message, HasSubstr("leads nowhere"));
}

TEST_F(Sqlite, AnOwnerWhoseEpochIsOverIsFenced) {
  const auto store = at(path_);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  SqliteFile(path_).run("UPDATE owner SET epoch = epoch + 1");
  const auto fenced = store->commit(a_group(2, {put("ann", "A2")}));
  ASSERT_FALSE(fenced.ok());
  EXPECT_EQ(fenced.error().code, ErrorCode::store_fenced);
  EXPECT_EQ(SqliteFile(path_).text("SELECT record FROM customers"), "A1");
}

// The lock can be taken away by removing its file; the epoch cannot.
TEST_F(Sqlite, AnOwnerWhoseLockWasRemovedIsFencedByItsSuccessor) {
  const auto stale = at(path_);
  open_own(*stale);
  must_commit(*stale, a_group(1, {put("ann", "A1")}));
  fs::remove(path_ + ".owner");
  const auto successor = at(path_);
  EXPECT_EQ(open_own(*successor).last_group, 1U);
  must_commit(*successor, a_group(2, {put("ann", "A2")}));
  EXPECT_EQ(failure(stale->commit(a_group(3, {put("ann", "stale")}))), ErrorCode::store_fenced);
  EXPECT_EQ(record_of(*successor, "ann"), "A2");
  EXPECT_EQ(failure(stale->open(Access::own, an_owner())), ErrorCode::store_owned);
  must_commit(*successor, a_group(4, {put("ann", "A4")}));
}

TEST_F(Sqlite, AStaleOwnerThatOpensAgainTakesNothingFromItsSuccessor) {
  const auto stale = at(path_);
  open_own(*stale);
  must_commit(*stale, a_group(1, {put("ann", "A1")}));
  fs::remove(path_ + ".owner");
  const auto successor = at(path_);
  open_own(*successor);
  EXPECT_EQ(failure(stale->open(Access::own, an_owner())), ErrorCode::store_owned);
  must_commit(*successor, a_group(2, {put("ann", "A2")}));
  EXPECT_EQ(failure(stale->open(Access::own, an_owner())), ErrorCode::store_owned);
  must_commit(*successor, a_group(3, {put("ann", "A3")}));
  ASSERT_TRUE(successor->close().ok());
  EXPECT_EQ(open_own(*stale).last_group, 3U);
}

TEST_F(Sqlite, AnOwnerWhoseLockWasRemovedTakesItAgainUnlessAnotherCame) {
  const auto stale = at(path_);
  open_own(*stale);
  fs::remove(path_ + ".owner");
  open_own(*stale);  // Nobody has come.
  EXPECT_EQ(failure(at(path_)->open(Access::own, an_owner())), ErrorCode::store_owned);
  fs::remove(path_ + ".owner");
  open_own(*at(path_));  // Somebody came and went.
  EXPECT_EQ(failure(stale->open(Access::own, an_owner())), ErrorCode::store_fenced);
  open_own(*stale);
}

TEST_F(Sqlite, EachOpeningIsAnEpochAndNamesItsOwner) {
  open_own(*at(path_));
  const auto store = at(path_);
  ASSERT_TRUE(store->open(Access::own, an_owner("second")).ok());
  EXPECT_EQ(SqliteFile(path_).text("SELECT epoch FROM owner"), "2");
  EXPECT_EQ(SqliteFile(path_).text("SELECT host FROM owner"), "second");
  std::string text;
  std::getline(std::ifstream(path_ + ".owner"), text);
  EXPECT_EQ(text, "process 4711 on second since 2026-03-01T09:00:00.123Z");
}

// What would be written to it would be lost with it.
TEST_F(Sqlite, AFileThatWasReplacedTakesNothing) {
  const auto store = at(path_);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  fs::rename(path_, folder_.file("moved.db"));
  const auto refused = store->commit(a_group(2, {put("ann", "A2")}));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("removed or replaced"));
}

TEST_F(Sqlite, AnotherProgramThatHoldsTheFileIsWaitedForAndThenNamed) {
  const auto store = at(path_);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  SqliteFile other(path_);
  other.run("BEGIN IMMEDIATE");
  const auto refused = store->commit(a_group(2, {put("ann", "A2")}));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("another program holds it"));
  other.run("ROLLBACK");
  // Only opening brings it back; reading goes on.
  EXPECT_EQ(failure(store->commit(a_group(2, {put("ann", "A2")}))), ErrorCode::store_unavailable);
  EXPECT_EQ(record_of(*store, "ann"), "A1");
  EXPECT_EQ(open_own(*store).last_group, 1U);
  must_commit(*store, a_group(2, {put("ann", "A2")}));
}

// The last statement of a group fails: what came before it is gone too.
TEST_F(Sqlite, AGroupThatFailsInTheMiddleLeavesNothing) {
  const auto store = at(path_);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1", {"x"}), put("bob", "B1")}));
  SqliteFile(path_).run(
      "CREATE TRIGGER no BEFORE INSERT ON customers WHEN new.id = 'zoe'"
      " BEGIN SELECT raise(ABORT, 'not her'); END");
  Group group = a_group(2, {put("ann", "A2", {"y"}), removal("bob"), put("zoe", "Z")});
  group.customers[0].new_requests = {a_request(1)};
  group.policy = "P";
  EXPECT_FALSE(store->commit(group).ok());
  SqliteFile(path_).run("DROP TRIGGER no");
  const Opened opened = open_own(*store);
  EXPECT_EQ(opened.last_group, 1U);
  EXPECT_EQ(opened.customers, 2U);
  EXPECT_EQ(opened.policy, std::nullopt);
  EXPECT_EQ(record_of(*store, "x"), "A1");
  EXPECT_EQ(record_of(*store, "y"), "-");
  EXPECT_EQ(record_of(*store, "bob"), "B1");
  EXPECT_TRUE(read_one(*store, "ann")->requests.empty());
}

TEST_F(Sqlite, ClosingFoldsTheJournalIntoTheFile) {
  const auto store = at(path_);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  EXPECT_TRUE(fs::exists(path_ + "-wal"));
  ASSERT_TRUE(store->close().ok());
  EXPECT_FALSE(fs::exists(path_ + "-wal"));
  EXPECT_EQ(failure(store->read({})), ErrorCode::store_unavailable);
}

// It may not write to the database, and so not take its journal away.
TEST_F(Sqlite, AReaderLeavesAnEmptyJournalWhichTheNextOwnerTakesAway) {
  const auto owner = at(path_);
  open_own(*owner);
  must_commit(*owner, a_group(1, {put("ann", "A1")}));
  ASSERT_TRUE(owner->close().ok());
  const auto reader = at(path_);
  ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
  EXPECT_EQ(record_of(*reader, "ann"), "A1");
  ASSERT_TRUE(reader->close().ok());
  ASSERT_TRUE(fs::exists(path_ + "-wal"));
  EXPECT_EQ(fs::file_size(path_ + "-wal"), 0U);
  EXPECT_TRUE(fs::exists(path_ + "-shm"));
  open_own(*owner);
  ASSERT_TRUE(owner->close().ok());
  EXPECT_FALSE(fs::exists(path_ + "-wal"));
  EXPECT_FALSE(fs::exists(path_ + "-shm"));
}

TEST_F(Sqlite, TheFileOfALiveOwnerIsReadByOthersWithItsJournal) {
  const auto store = at(path_);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  EXPECT_EQ(SqliteFile(path_).text("SELECT record FROM customers WHERE id = 'ann'"), "A1");
  const auto reader = at(path_);
  ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
  EXPECT_EQ(record_of(*reader, "ann"), "A1");
  EXPECT_EQ(reader->status()->owner->host, "test-host");
}

}  // namespace
}  // namespace limitr::store
