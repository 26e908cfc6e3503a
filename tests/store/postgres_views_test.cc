// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "backends.h"
#include "postgres_server.h"
#include "store/postgres/postgres_store.h"

// The views of docs/stores.md, as somebody sees them who looks into the database.
namespace limitr::store {
namespace {

constexpr const char* ann = R"({"id":"ann","plan":"pro","meters":{
  "chat":{"credit":"token","started":1772355600123,"value":7.5,"overhead":0.07,"ewma_rate":0,
    "holds":{"h1":{"value":2,"overhead":0.1,"expires":1772359200000,"basis":null,"segment":"de"}}},
  "seats":{"credit":"seat","started":1772355600000,"value":3,"overhead":null,"holds":null}},
  "grants":{"g1":{"credit":"token","topup":"extra","value":90,"starting_value":100,"added":0,
    "drawn":10,"lost":0,"granted_on":1772355600000,"last_reset":null,"expires_on":null,"seq":0}},
  "caps":{"c1":{"credit":"token","value":50,"meter_value":12,"scope":["chat"],"shared":false,
    "shared_with":null,"observe_only":false,"started":1772355600000,"last_reset":null,
    "expires_on":1772359200000,"seq":4}}})";

class PostgresViews : public ::testing::Test {
protected:
  void SetUp() override {
    text("DROP SCHEMA IF EXISTS limitr CASCADE");
    const auto store = postgres_store({.url = PostgresServer::shared().url()});
    open_own(*store);
    must_commit(*store,
                a_group(1, {put("ann", ann), put("bob", R"({"id":"bob","meters":{}})"),
                            put("cyd", R"({"metadata":"\u0000","meters":{"chat":{"value":1}}})"),
                            put("odd", "no JSON"), put("odder", std::string("\xff\0", 2)),
                            put("list", R"({"meters":[1],"grants":{"g":2}})")}));
  }

  static std::string text(const std::string& sql) {
    return PostgresSession(PostgresServer::shared().url()).text("SET search_path = limitr; " + sql);
  }
};

TEST_F(PostgresViews, MetersAreRows) {
  EXPECT_EQ(text("SELECT customer, entitlement, credit, value, overhead, started, started_ms"
                 " FROM meters WHERE customer = 'ann' ORDER BY entitlement"),
            "ann|chat|token|7.5|0.07|2026-03-01 09:00:00.123+00|1772355600123 "
            "ann|seats|seat|3|-|2026-03-01 09:00:00+00|1772355600000");
}

TEST_F(PostgresViews, NulInARecordHidesNobody) {
  EXPECT_EQ(text("SELECT customer, value, started FROM meters WHERE customer <> 'ann'"), "cyd|1|-");
}

TEST_F(PostgresViews, HoldsAreRows) {
  EXPECT_EQ(text("SELECT * FROM holds"),
            "ann|ann|chat|h1|2|0.1|2026-03-01 10:00:00+00|1772359200000|-|de");
}

TEST_F(PostgresViews, GrantsAreRows) {
  EXPECT_EQ(text("SELECT customer, id, credit, topup, value, starting_value + added - drawn - lost,"
                 " granted_on, expires_on, seq FROM grants"),
            "ann|g1|token|extra|90|90|2026-03-01 09:00:00+00|-|0");
}

TEST_F(PostgresViews, CapsAreRows) {
  EXPECT_EQ(text("SELECT customer, id, value, meter_value, scope, shared, shared_with, started,"
                 " expires_on FROM caps"),
            "ann|c1|50|12|[\"chat\"]|f|-|2026-03-01 09:00:00+00|2026-03-01 10:00:00+00");
}

// The examples of the document give rows.
TEST_F(PostgresViews, QueriesOfTheDocumentWork) {
  std::ifstream in(LIMITR_DOCS "/stores.md");
  std::string document{std::istreambuf_iterator<char>(in), {}};
  const std::size_t begin_section = document.find("## PostgreSQL\n");
  ASSERT_NE(begin_section, std::string::npos);
  document = document.substr(begin_section, document.find("\n## ", begin_section) - begin_section);
  const std::string fence = "```sql\n";
  int queries = 0;
  for (std::size_t at = document.find(fence); at != std::string::npos;
       at = document.find(fence, at + 1)) {
    const std::size_t begin = at + fence.size();
    const std::string query = document.substr(begin, document.find("```", begin) - begin);
    EXPECT_NE(text(query), "") << query;
    ++queries;
  }
  EXPECT_EQ(queries, 2);
}

}  // namespace
}  // namespace limitr::store
