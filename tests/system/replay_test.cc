// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include <gtest/gtest.h>

#include "base/test_seed.h"
#include "child.h"
#include "site.h"

// What the reference engine answered, asked of engines on every store that are closed and opened
// again all the time, and of engines that share one: a store changes no answer.
namespace limitr::system_tests {
namespace {

struct Replay {
  std::string name;
  std::string kind;
  std::vector<std::string> options;
  std::vector<std::string> files = {""};  ///< Of the vectors; all of them.
};

std::ostream& operator<<(std::ostream& out, const Replay& replay) { return out << replay.name; }

std::vector<Replay> replays() {
  // How often an engine is opened anew is a matter of what that takes.
  const auto every = [](std::uint64_t calls) -> std::vector<std::string> {
    return {"--reopen", std::to_string(calls * number_from("LIMITR_REOPEN", 1))};
  };
  std::vector<Replay> all = {{.name = "file", .kind = "file", .options = every(1)},
                             {.name = "sqlite", .kind = "sqlite", .options = every(2)},
                             {.name = "memory", .kind = "memory", .options = {"--shared"}}};
  for (const std::string& kind : server_kinds()) {
    all.push_back({.name = kind, .kind = kind, .options = every(7)});
    // In the vectors, refs lead to customers without a tag.
    if (kind == "redis_cluster") continue;
    all.push_back({.name = kind + "_shared", .kind = kind, .options = {"--shared"}});
  }
  // To make the tables of a store in PostgreSQL takes long, and so does opening one in a cluster:
  // the short form has a sample there.
  if (number_from("LIMITR_REPLAY_ALL", 0) != 0) return all;
  for (Replay& replay : all) {
    if (replay.name == "postgres") replay.files = {"mixed.ndjson"};
    if (replay.name == "redis_cluster") replay.files = {"mixed.ndjson", "scope.ndjson"};
    if (replay.name == "postgres_shared") replay.files = {"mixed.ndjson", "scope.ndjson"};
  }
  return all;
}

class Replayed : public ::testing::TestWithParam<Replay> {};

TEST_P(Replayed, AnswersAreTheSame) {
  const std::unique_ptr<Site> site = make_site(GetParam().kind);
  std::vector<std::string> words = {"limitr", "test", "--store", site->url_of_many("{n}")};
  for (const std::string& file : GetParam().files) words.push_back(LIMITR_VECTORS "/" + file);
  words.insert(words.end(), GetParam().options.begin(), GetParam().options.end());
  Child program([&] {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv(LIMITR_PROGRAM, arguments.data());
    std::_Exit(127);
  });
  EXPECT_EQ(program.wait(), 0) << "what differs is shown above";
}

INSTANTIATE_TEST_SUITE_P(Stores, Replayed, ::testing::ValuesIn(replays()),
                         [](const auto& replay) { return replay.param.name; });

}  // namespace
}  // namespace limitr::system_tests
