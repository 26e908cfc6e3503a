// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "backends.h"
#include "sqlite_file.h"
#include "store/sqlite/sqlite_store.h"

// The views of docs/stores.md, as somebody sees them who looks into the file.
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

class Views : public ::testing::Test {
protected:
  void SetUp() override {
    const auto store = sqlite_store({.path = path_});
    open_own(*store);
    must_commit(*store, a_group(1, {put("ann", ann), put("bob", R"({"id":"bob","meters":{}})"),
                                    put("odd", "no JSON")}));
  }

  std::string text(const std::string& sql) { return SqliteFile(path_).text(sql); }

  const TestFolder folder_;
  const std::string path_ = folder_.file("s.db");
};

TEST_F(Views, MetersAreRows) {
  EXPECT_EQ(text("SELECT customer, entitlement, credit, value, overhead, started, started_ms"
                 " FROM meters ORDER BY entitlement"),
            "ann|chat|token|7.5|0.07|2026-03-01T09:00:00.123Z|1772355600123 "
            "ann|seats|seat|3|-|2026-03-01T09:00:00.000Z|1772355600000");
}

TEST_F(Views, HoldsAreRows) {
  EXPECT_EQ(text("SELECT * FROM holds"),
            "ann|chat|h1|2|0.1|2026-03-01T10:00:00.000Z|1772359200000|-|de");
}

TEST_F(Views, GrantsAreRows) {
  EXPECT_EQ(text("SELECT customer, id, credit, topup, value, starting_value + added - drawn - lost,"
                 " granted_on, expires_on, seq FROM grants"),
            "ann|g1|token|extra|90|90|2026-03-01T09:00:00.000Z|-|0");
}

TEST_F(Views, CapsAreRows) {
  EXPECT_EQ(text("SELECT customer, id, value, meter_value, scope, started, expires_on FROM caps"),
            "ann|c1|50|12|[\"chat\"]|2026-03-01T09:00:00.000Z|2026-03-01T10:00:00.000Z");
}

TEST_F(Views, CustomersAreTheirJson) {
  EXPECT_EQ(text("SELECT id, record ->> '$.plan', version FROM customers WHERE id = 'ann'"),
            "ann|pro|1");
}

// The examples of the document give rows.
TEST_F(Views, QueriesOfTheDocumentWork) {
  std::ifstream in(LIMITR_DOCS "/stores.md");
  std::string document{std::istreambuf_iterator<char>(in), {}};
  const std::size_t begin_section = document.find("## SQLite\n");
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
