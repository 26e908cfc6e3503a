// SPDX-License-Identifier: Apache-2.0
#include "state/audit.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "state/record.h"

// Each test damages one thing, and finds that and nothing else. spec: state.md, Books that balance
namespace limitr::state {
namespace {

constexpr std::string_view record =
    R"({"id":"ann","plan":"pro","type":"user","label":"User","refs":[],"alt_ids":["ann@x"],)"
    R"("meters":{"chat":{"credit":"tok","started":1000,"value":5,"overhead":null,"history":[],)"
    R"("ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,)"
    R"("holds":{"h1":{"value":2,"overhead":0,"expires":9000,"basis":null,"segment":""}},)"
    R"("estimates":null}},"overrides":{},)"
    R"("grants":{"g":{"id":"g","credit":"tok","topup":null,"created_on":10,"granted_on":20,)"
    R"("starting_value":100,"value":40,"resets":false,"reset_inc":null,"reset_sch":null,)"
    R"("last_reset":null,"reset_mode":"hard","rollover_min":null,"rollover_max":null,)"
    R"("rollover_pct":null,"max_balance":null,"reset_catchup_cap":null,"expires_on":null,"seq":1,)"
    R"("drawn":70,"added":20,"lost":10}},"caps":{},"metadata":null,"format":1})";

class StateAudit : public ::testing::Test {
protected:
  Customer ann() { return *read_customer(record, names_); }
  std::vector<std::string> found(const Customer& customer) {
    std::vector<std::string> texts;
    for (const AuditFinding& finding : audit_customer(customer, names_)) {
      texts.push_back(finding.customer + ": " + finding.field + ": " + finding.message);
    }
    return texts;
  }
  std::vector<std::string> finished() {
    std::vector<std::string> texts;
    for (const AuditFinding& finding : audit_.finish()) {
      texts.push_back(finding.customer + ": " + finding.field + ": " + finding.message);
    }
    return texts;
  }

  using Texts = std::vector<std::string>;
  SymbolTable names_;
  Audit audit_{names_};
};

TEST_F(StateAudit, WhatBalancesHasNoFindings) {
  EXPECT_EQ(found(ann()), Texts());
  audit_.add_record("ann", record);
  audit_.add_request("ann", 3, "r1", "true");
  audit_.add_request("ann", 7, "r2", R"({"allowed":true})");
  EXPECT_EQ(audit_.customers(), 1);
  EXPECT_EQ(audit_.requests(), 2);
  EXPECT_EQ(finished(), Texts());
}

TEST_F(StateAudit, AGrantWhoseBooksDoNotBalanceIsNamedWithBothSums) {
  Customer customer = ann();
  customer.rest->grants.front().drawn = 71;
  const auto findings = audit_customer(customer, names_);
  ASSERT_EQ(findings.size(), 1);
  EXPECT_EQ(findings[0].customer, "ann");
  EXPECT_EQ(findings[0].field, "grants.g");
  EXPECT_EQ(findings[0].expected, 120);
  EXPECT_EQ(findings[0].found, 121);
}

TEST_F(StateAudit, WhatOnlyRoundingTellsApartBalances) {
  Customer customer = ann();
  Grant& grant = customer.rest->grants.front();
  grant.drawn = 70 + 1e-8;
  EXPECT_EQ(found(customer), Texts()) << "a billionth of what was added up";
  grant.drawn = 70 + 1e-6;
  EXPECT_EQ(found(customer).size(), 1);
  constexpr double largest = std::numeric_limits<double>::max();
  grant.starting_value = grant.added = grant.drawn = grant.value = largest;
  grant.lost = 0;
  EXPECT_EQ(found(customer), Texts()) << "sums beyond the range of a double";
}

TEST_F(StateAudit, HoldsBelongToMeters) {
  Customer customer = ann();
  customer.meters.clear();
  EXPECT_EQ(found(customer), Texts{"ann: meters.chat.holds: holds without a meter"});
}

TEST_F(StateAudit, NoNumberIsNone) {
  Customer customer = ann();
  customer.meters.front().value = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(found(customer), Texts{"ann: meters.chat.value: it is no number"});
}

TEST_F(StateAudit, ARecordIsThatOfItsCustomerAndReadsBackToItself) {
  audit_.add_record("bob", record);
  Customer eve = ann();
  eve.id = "eve";
  eve.rest->alt_ids.clear();
  std::string other = to_record(eve, names_);
  other.insert(1, " ");
  audit_.add_record("eve", other);
  audit_.add_record("joe", R"({"id":"joe","meters":{"chat":{"value":null}}})");
  EXPECT_EQ(finished(),
            (Texts{"bob: id: its record is that of `ann`",
                   "eve: : its record is written differently when it was read: from byte 1 on",
                   "joe: meters.chat.value: its record cannot be read: expected a number"}));
}

TEST_F(StateAudit, AlternateIdsAreUniqueAndNoCustomersOwn) {
  Customer bob = ann();
  bob.id = "bob";
  bob.rest->alt_ids = {"ann@x", "b", "b"};
  Customer eve = ann();
  eve.id = "eve";
  eve.rest->alt_ids = {"bob"};
  audit_.add(ann());
  audit_.add(bob);
  audit_.add(eve);
  EXPECT_EQ(finished(),
            (Texts{"bob: alt_ids: the alternate ID `ann@x` is also that of customer `ann`",
                   "bob: alt_ids: the alternate ID `b` stands there twice",
                   "eve: alt_ids: the alternate ID `bob` is a customer's own ID"}));
}

TEST_F(StateAudit, RequestsAreNumberedInOrderAndAnswerACall) {
  audit_.add(ann());
  audit_.add_request("ann", 2, "r1", "true");
  audit_.add_request("ann", 2, "r2", "true");
  audit_.add_request("ann", 3, "r1", "true");
  audit_.add_request("ann", 4, "r4", "[1]");
  audit_.add_request("bob", 1, "r1", "true");
  EXPECT_EQ(finished(),
            (Texts{"ann: requests.r2: its number is 2, and 2 stands before it",
                   "ann: requests.r1: it is remembered twice",
                   "ann: requests.r4: its answer is that of no call",
                   "bob: requests.r1: it is remembered for a customer that is not there"}));
}

}  // namespace
}  // namespace limitr::state
