// SPDX-License-Identifier: Apache-2.0
#include "open/stored.h"

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <limitr/limitr.h>

#include "open/audit_store.h"
#include "open/transfer.h"

// Stores that are read beside their owner, and moved from one to another.
namespace limitr {
namespace {

constexpr const char* policy = R"(
policy:
  credits: { tok: {}, seat: {} }
  plans:
    pro:
      default: true
      entitlements:
        chat: { limit: { credit: tok, value: 10 } }
        seats: { scope: org, limit: { credit: seat, value: 3 } }
      topups:
        z: { credit: tok, value: 1, included: true }
        a: { credit: tok, value: 2, included: true }
)";

// The text in pieces that end anywhere.
state::TextSource source_of(std::string_view text) {
  return [text](std::span<char> room) mutable -> Result<std::size_t> {
    const std::string_view piece = text.substr(0, std::min<std::size_t>(room.size(), 100));
    std::copy(piece.begin(), piece.end(), room.begin());
    text.remove_prefix(piece.size());
    return piece.size();
  };
}

class Stored : public ::testing::Test {
protected:
  // The memory of a name is there as long as somebody has it.
  std::unique_ptr<store::Store> kept_ = *store_at("memory:stored");
  std::unique_ptr<store::Store> other_ = *store_at("memory:other");

  static Options options(const std::string& url = "memory:stored") {
    Options options;
    options.store = url;
    options.log = [](std::string_view) {};
    return options;
  }
  static Limitr open(const std::string& url = "memory:stored") {
    Result<Limitr> limitr = Limitr::open(policy, options(url));
    EXPECT_TRUE(limitr.ok()) << limitr.error().to_string();
    return *std::move(limitr);
  }
  static StoredState stored(const std::string& url = "memory:stored") {
    return *StoredState::open(url);
  }
  static std::string exported(const std::string& url) {
    StoredState state = stored(url);
    std::string text;
    const auto write = [&](std::string_view piece) -> Result<void> {
      text += piece;
      return {};
    };
    const Result<Exported> done =
        export_store(state, write, [](std::uint64_t) { return Result<void>(); });
    EXPECT_TRUE(done.ok()) << done.error().to_string();
    return text;
  }
  // Writes records as they are, past any engine.
  void put(std::vector<store::CustomerWrite> customers) {
    ASSERT_TRUE(kept_->open(store::Access::own, {}).ok());
    store::Group group;
    group.number = ++group_;
    group.customers = std::move(customers);
    ASSERT_TRUE(kept_->commit(group).ok());
    ASSERT_TRUE(kept_->close().ok());
  }
  std::vector<std::string> audited() {
    StoredState state = stored();
    const auto audit = audit_store(state, [](std::uint64_t) { return Result<void>(); });
    EXPECT_TRUE(audit.ok());
    std::vector<std::string> texts;
    for (const AuditFinding& finding : audit->findings) {
      texts.push_back(finding.customer + ": " + finding.field + ": " + finding.message);
    }
    return texts;
  }
  static std::string record(const std::string& id, const std::string& alt_ids = "") {
    return R"({"id":")" + id +
           R"(","plan":"pro","type":"user","label":"User","refs":[],"alt_ids":[)" + alt_ids +
           R"(],"meters":{},"overrides":{},"grants":{},"caps":{},"metadata":null,"format":1})";
  }

  std::uint64_t group_ = 0;
};

TEST_F(Stored, AnEngineOpensWithThePolicyThatTheStoreKeeps) {
  open();
  Result<Limitr> limitr = Limitr::open_stored(options());
  ASSERT_TRUE(limitr.ok()) << limitr.error().to_string();
  EXPECT_EQ(limitr->policy(), Limitr::open(policy)->policy());
  // What is granted first stands first, as it was written.
  ASSERT_TRUE(limitr->create_customer("ann").ok());
  const Json grants = limitr->customer("ann").value()->at("grants");
  ASSERT_EQ(grants.size(), 2);
  for (const Json& grant : grants) EXPECT_EQ(grant["seq"], grant["topup"] == "z" ? 1 : 2);
}

TEST_F(Stored, APolicyThatIsSetIsTheOneThatIsKept) {
  {
    Limitr limitr = open();
    ASSERT_TRUE(limitr.set_plan("free", Json::object()).ok());
  }
  EXPECT_TRUE(Limitr::open_stored(options())->plan("free").value().has_value());
}

TEST_F(Stored, WithoutAPolicyThereIsNoEngineAndNothingIsTaken) {
  const Result<Limitr> none = Limitr::open_stored(options());
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(none.error().message, "the store keeps no policy: give one");
  EXPECT_EQ(kept_->status()->owner.has_value(), false);
  EXPECT_EQ(Limitr::open_stored({}).error().code, ErrorCode::invalid_argument);
}

TEST_F(Stored, ReadingTakesNothingFromTheOwnerAndSeesWhatIsWritten) {
  Limitr owner = open();
  ASSERT_TRUE(
      owner.create_customer("org", {.type = "org", .alts = std::vector<std::string>{"the-org"}})
          .ok());
  ASSERT_TRUE(
      owner.create_customer("ann", {.refs = std::vector<std::string>{"the-org", "nobody"}}).ok());
  ASSERT_TRUE(owner.create_customer("bob").ok());
  ASSERT_TRUE(owner.allow("ann", "seats", 2)->allowed);
  StoredState state = stored();
  std::vector<Error> damage;
  const std::vector<std::string> ids = {"ann"};
  Result<Limitr> reading = state.engine_of(ids, nullptr, options(), damage);
  ASSERT_TRUE(reading.ok()) << reading.error().to_string();
  EXPECT_TRUE(damage.empty());
  EXPECT_EQ(*reading->value("ann", "seats"), 2);
  EXPECT_TRUE(reading->check("ann", "seats", 1)->allowed);
  EXPECT_FALSE(reading->check("ann", "seats", 2)->allowed);
  EXPECT_FALSE(reading->customer("bob")->has_value()) << "nobody asked for it";
  ASSERT_TRUE(reading->allow("ann", "seats", 1)->allowed) << "in memory, and nowhere else";
  EXPECT_EQ(*owner.value("ann", "seats"), 2);
  EXPECT_TRUE(owner.allow("ann", "seats", 1)->allowed);
}

TEST_F(Stored, AllThatIsExportedComesBackTheSame) {
  {
    Limitr limitr = open();
    ASSERT_TRUE(limitr.create_customer("bob", {.alts = std::vector<std::string>{"b"}}).ok());
    ASSERT_TRUE(limitr.create_customer("ann", {.metadata = Json{{"a", "\u00e9"}}}).ok());
    ASSERT_TRUE(limitr.allow("bob", "chat", 3, {.request = "r1"})->allowed);
    ASSERT_TRUE(limitr.allow("bob", "chat", 1, {.request = "r2"})->allowed);
    const auto hold = limitr.reserve("bob", "chat", {.value = 2});
    ASSERT_TRUE(limitr.settle("bob", "chat", **hold, 1)->allowed);
  }
  const std::string text = exported("memory:stored");
  const Json whole = Json::parse(text);
  EXPECT_EQ(whole["customers"].size(), 2);
  EXPECT_EQ(whole["requests"].size(), 2);
  EXPECT_EQ(whole["estimates"].size(), 1);
  {
    Limitr limitr = open("memory:other");
    const auto report = import_records(limitr, source_of(text), {});
    ASSERT_TRUE(report.ok()) << report.error().to_string();
    EXPECT_EQ(report->loaded, 2);
    EXPECT_TRUE(report->refused.empty());
    EXPECT_TRUE(limitr.fsck()->empty());
    EXPECT_EQ(Json::parse(*limitr.export_state()), whole) << "an engine writes the same form";
  }
  EXPECT_EQ(exported("memory:other"), text);
}

TEST_F(Stored, AnImportLeavesAloneWhoIsThereUnlessItIsToReplaceThem) {
  Limitr limitr = open();
  ASSERT_TRUE(
      limitr.create_customer("ann", {.label = "old", .alts = std::vector<std::string>{"a"}}).ok());
  const std::string text =
      R"({"format":1,"customers":[{"id":"ann","label":"new"},{"id":"bob"},{"id":"a"}],)"
      R"("requests":[{"customer":"ann","request":"r","fingerprint":"0","answer":true,"at":1}]})";
  const auto report = import_records(limitr, source_of(text), {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->loaded, 1);
  ASSERT_EQ(report->refused.size(), 2);
  EXPECT_EQ(report->refused[0].id, "ann");
  EXPECT_EQ(report->refused[1].id, "a") << "it is an alternate ID of hers";
  EXPECT_EQ(limitr.customer("ann").value()->at("label"), "old");
  EXPECT_EQ(Json::parse(*limitr.export_state())["requests"].size(), 0);
  const auto replaced = import_records(limitr, source_of(text), {.replace = true});
  ASSERT_TRUE(replaced.ok());
  EXPECT_EQ(limitr.customer("ann").value()->at("label"), "new");
  EXPECT_EQ(Json::parse(*limitr.export_state())["requests"].size(), 1);
}

TEST_F(Stored, AnImportWhoseTextFailsKeepsWhatItHasReadAndSaysSo) {
  Limitr limitr = open();
  constexpr std::string_view text = R"([{"id":"ann"},{"id":"bob"},)";
  const state::TextSource whole = source_of(text);
  const auto report =
      import_records(limitr,
                     [&](std::span<char> room) -> Result<std::size_t> {
                       auto count = whole(room);
                       if (*count != 0) return count;
                       return Error{.code = ErrorCode::io_failed, .message = "gone"};
                     },
                     {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->loaded, 2);
  ASSERT_EQ(report->refused.size(), 1);
  EXPECT_EQ(report->refused[0].error.code, ErrorCode::io_failed);
}

TEST_F(Stored, AnExportThatCannotBeWrittenEndsWithTheError) {
  open().create_customer("ann").ok();
  StoredState state = stored();
  const Error full{.code = ErrorCode::io_failed, .message = "full"};
  const auto go_on = [](std::uint64_t) { return Result<void>(); };
  const auto failed =
      export_store(state, [&](std::string_view) -> Result<void> { return full; }, go_on);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().message, "full");
}

TEST_F(Stored, AnAuditFindsWhatContradictsItself) {
  const store::StoredRequest request{
      .number = 2, .id = "r1", .fingerprint = 0, .answer = "true", .at = {}};
  store::StoredRequest earlier = request;
  earlier.number = 1;
  earlier.id = "r0";
  put({{.id = "ann",
        .record = record("ann", R"("x")"),
        .alt_ids = {"x"},
        .new_requests = {request, earlier},
        .first_request = 1},
       {.id = "bob",
        .record = record("bob", R"("x","ann","y")"),
        .alt_ids = {"x"},
        .new_requests = {},
        .first_request = 0},
       {.id = "eve",
        .record = record("joe"),
        .alt_ids = {},
        .new_requests = {},
        .first_request = 0},
       {.id = "tom",
        .record = R"({"id":"tom" })",
        .alt_ids = {},
        .new_requests = {},
        .first_request = 0}});
  EXPECT_EQ(audited(),
            (std::vector<std::string>{
                "ann: requests.r0: its number is 1, and 2 stands before it",
                "ann: alt_ids: the alternate ID `x` leads to customer `bob`",
                "bob: alt_ids: the alternate ID `x` is also that of customer `ann`",
                "bob: alt_ids: the alternate ID `ann` leads to customer `ann`",
                "bob: alt_ids: the alternate ID `y` leads to nobody",
                "eve: id: its record is that of `joe`",
                "tom: : its record is written differently when it was read: from byte 11 on",
                "bob: alt_ids: the alternate ID `ann` is a customer's own ID",
            }));
}

TEST(Audit, OfAnEngineFindsGrantsWhoseBooksDoNotBalance) {
  Limitr limitr = *Limitr::open(policy);
  ASSERT_TRUE(limitr.create_customer("ann").ok());
  ASSERT_TRUE(limitr.allow("ann", "chat", 12, {.request = "r1"})->allowed);
  EXPECT_TRUE(limitr.fsck()->empty());
  const auto report = limitr.load_customers(
      R"([{"id":"bob","grants":{"g":{"credit":"tok","starting_value":50,"value":40,"drawn":5}}}])");
  ASSERT_EQ(report->loaded, 1);
  const auto findings = limitr.fsck();
  ASSERT_TRUE(findings.ok());
  ASSERT_EQ(findings->size(), 1);
  EXPECT_EQ(findings->front().customer, "bob");
  EXPECT_EQ(findings->front().field, "grants.g");
  EXPECT_EQ(findings->front().expected, 50);
  EXPECT_EQ(findings->front().found, 45);
}

}  // namespace
}  // namespace limitr
