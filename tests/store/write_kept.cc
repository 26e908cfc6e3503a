// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sched.h>
#include <unistd.h>

#include <fmt/format.h>
#include <limitr/limitr.h>

#include "backends.h"
#include "engine/manual_clock.h"
#include "postgres_server.h"
#include "redis_server.h"

// Writes what this version makes of one state, in every form that it can be kept in, for all later
// versions to read: tests/store/data/README.md. IDs that an engine draws are drawn once, in the
// first part of the story; the second part is played into every form.
namespace limitr::store {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t begins_at = 1'772'355'600'000;  // 2026-03-01T09:00:00Z
constexpr std::int64_t ends_at = begins_at + 3'600'000;
constexpr std::int64_t minute = 60'000;

constexpr std::string_view written_under = R"(policy:
  estimate_min_samples: 2
  request_window: 7days
  exchange: { eur: { value: 1.14 }, coin: { value: 0.01, currency: eur } }
  credits:
    tok: { price: { amount: 0.01 }, overhead_cost: 0.002 }
    space: { stof_units: GB, price: { amount: 0.25 } }
    step:
      pricing_model: tiered
      tiers: [{ up_to: 10, price: { amount: 2 } }, { price: { amount: 1 } }]
  plans:
    free:
      default: true
      entitlements:
        chat: { limit: { credit: tok, value: 1000, mode: observe } }
    pro:
      entitlements:
        chat: { limit: { credit: tok, value: 100, mode: soft, resets: true, reset_inc: 1day } }
        ai_tokens: { limit: { credit: tok, value: 1000, resets: true, reset_sch: "monthly:1" } }
        storage: { limit: { credit: space, value: 100GB, minimum: 0 } }
        jobs:
          limit: { credit: tok, value: 50, governor_enabled: true, governor_capacity: 20, governor_refill_rate: 0.001 }
        guess: { estimate_basis: input, estimate_segment: model, limit: { credit: tok, value: 1000 } }
        seats: { scope: org, limit: { credit: step, value: 5, mode: soft } }
      topups:
        monthly:
          credit: tok
          value: 30
          included: true
          included_scopes: [user]
          resets: true
          reset_inc: 10min
          reset_mode: rollover
          rollover_pct: 0.5
          rollover_min: 1
          rollover_max: 40
          max_balance: 100
          reset_catchup_cap: 3
        bought: { credit: space, value: 20GB, expires_after: 30days }
        seasonal: { credit: tok, value: 5, resets: true, reset_sch: "quarterly:1", reset_mode: add }
)";

// As above, with another name for `ai_tokens`.
std::string read_under() {
  constexpr std::string_view before = "ai_tokens: {";
  constexpr std::string_view after = "ai_input: { renamed_from: [ai_tokens],";
  std::string policy(written_under);
  return policy.replace(policy.find(before), before.size(), after);
}

// What the tests must know of the state besides.
std::string facts() {
  const Json facts = {
      {"written_at", ends_at},
      {"repeat",
       {{"customer", "ann"}, {"entitlement", "chat"}, {"value", 5}, {"request", "the last one"}}},
      {"renamed", {{"ai_tokens", "ai_input"}}}};
  return facts.dump(2) + "\n";
}

[[noreturn]] void give_up(const std::string& what) {
  std::cerr << what << '\n';
  std::exit(1);
}

template <typename T>
T must(Result<T> result) {
  if (!result.ok()) give_up(result.error().to_string());
  return *std::move(result);
}

void must(const Result<void>& result) {
  if (!result.ok()) give_up(result.error().to_string());
}

void must_be(const Result<bool>& result) {
  if (!result.ok() || !*result) give_up(result.ok() ? "not done" : result.error().to_string());
}

template <typename T>
T must_have(Read<T> read) {
  std::optional<T> found = must(std::move(read));
  if (!found) give_up("nothing there");
  return *std::move(found);
}

void must_allow(Limitr& limitr, std::string_view customer, std::string_view entitlement,
                const Value& value, const CallOptions& options = {}) {
  const Decision decision = must(limitr.allow(customer, entitlement, value, options));
  if (!decision.allowed) give_up(fmt::format("{} may not use {}", customer, entitlement));
}

class Story {
public:
  Limitr open(const std::string& store) {
    Options options;
    options.clock = clock_;
    options.store = store;
    options.log = [](std::string_view line) { std::cerr << line << '\n'; };
    return must(Limitr::open(written_under, std::move(options)));
  }

  // All that has IDs of its own.
  void play_first(Limitr& limitr) {
    clock_->set(begins_at);
    make_customers(limitr);
    make_limits(limitr);
    for (int call = 0; call < 5; ++call) {
      clock_->advance(5 * minute);
      use(limitr, call);
    }
    must_have(limitr.reserve("ann", "chat", {.value = 3, .ttl = "30days", .request = "hold"}));
    must_have(limitr.reserve("ann", "guess",
                             {.context = Json{{"input", 4}, {"model", "small"}}, .ttl = "1day"}));
    const std::string held = must_have(limitr.reserve("user{acme}7", "seats", {.value = 1}));
    must(limitr.settle("user{acme}7", "seats", held, 2));
  }

  // Nothing that draws an ID, nor changes estimates: those may be written later than the rest.
  void play_second(Limitr& limitr) {
    clock_->set(ends_at);
    must_allow(limitr, "ann", "ai_tokens", 7, {.request = "tokens"});
    must_allow(limitr, "user{acme}7", "seats", 3);
    must(limitr.create_customer("new", {.label = "New", .alts = {"new@example.com"}}));
    must_be(limitr.set_alt_customer_id("ann", "ann@example.org"));
    must_be(limitr.delete_alt_customer_id("old@example.com"));
    must_be(limitr.delete_customer("gone"));
    must_allow(limitr, "new", "chat", 1.25);
    must_allow(limitr, "ann", "chat", 5, {.request = "the last one"});
  }

  std::int64_t now() const { return clock_->now().time_since_epoch().count(); }

private:
  static void make_customers(Limitr& limitr) {
    must(limitr.create_customer(
        "acme", {.plan = "pro", .type = "org", .label = "Acme", .alts = {"acme.example"}}));
    must(limitr.create_customer(
        "ann", {.plan = "pro",
                .refs = {{"acme"}},
                .alts = {"ann@example.com", "old@example.com", "Zo\u00eb \"Z\" \\ {x}\n"},
                .metadata = Json{{"limitr_voucher", "spring"},
                                 {"limitr_voucher_expires", begins_at * 2},
                                 {"limitr_voucher_runes", 300.5},
                                 {"nested", {{"list", {1, 2.5, nullptr, "\u00fc"}}}}},
                .request = "make ann"}));
    must(limitr.create_customer("user{acme}7", {.plan = "pro", .refs = {{"acme", "nobody"}}}));
    must(limitr.create_customer("inherits", {.refs = {{"acme"}}}));
    must(limitr.create_customer("gone", {.alts = {"gone@example.com"}}));
    must(limitr.set_customer(
        R"({"id":"\u00e9lan","plan":"a plan that is no more","made_by":{"another":"program"},)"
        R"("meters":{"reports":{"credit":"tok","started":1772355600000,"value":3,"x":[1]}}})"));
  }

  static void make_limits(Limitr& limitr) {
    must_be(limitr.apply_customer_topup("ann", "bought", {.request = "buy"}));
    must_be(limitr.apply_customer_topup("ann", "seasonal"));
    must_be(limitr.create_customer_override(
        "ann", "ai_tokens", {.value = 500, .expires = Timestamp(Millis(begins_at * 2))}));
    must_be(limitr.create_customer_override(
        "acme", "seats", {.value = 3, .mode = "soft", .increment = 2, .reset_sch = "weekly:mon"}));
    must_have(limitr.add_customer_cap("ann", 50, {.cap = "all"}));
    must_have(limitr.add_customer_cap("ann", 900,
                                      {.cap = "tokens",
                                       .credit = "tok",
                                       .follow_decrements = true,
                                       .scope = {"ai_tokens", "chat"},
                                       .resets = true,
                                       .reset_inc = "1hr",
                                       .expires_on = Timestamp(Millis(begins_at * 2)),
                                       .request = "cap"}));
    must_have(limitr.add_customer_cap(
        "acme", 1e6, {.observe_only = true, .shared = true, .shared_with = {"user"}}));
    must_be(limitr.start_margin_measurement("ann", "stretch"));
  }

  // Of each meter more calls than its history has.
  static void use(Limitr& limitr, int call) {
    must_allow(limitr, "ann", "chat", 30 + call, {.request = fmt::format("chat {}", call)});
    must_allow(limitr, "ann", "ai_tokens", 10.125 * call, {.overhead = 0.5});
    must_allow(limitr, "ann", "storage", call == 3 ? "-500MB" : "1.5GB");
    must_allow(limitr, "ann", "jobs", 6);
    must_allow(limitr, "user{acme}7", "seats", 1);
    must_allow(limitr, "inherits", "chat", call);
    const EstimateOptions small = {.context = Json{{"input", call + 1}, {"model", "small"}}};
    must_be(limitr.observe("ann", "guess", 10 * (call + 1) + call, small));
    must_be(limitr.observe("inherits", "guess", 20 * (call + 1), small));
  }

  const std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>(begins_at);
};

// The customers of an export, its estimates and its requests in the order of customers.
Json told_by(Limitr& limitr) {
  Json told = Json::parse(must(limitr.export_state()));
  Json requests = Json::object();
  for (const Json& request : told["requests"]) {
    requests[request["customer"].get<std::string>()].push_back(request);
  }
  told["requests"] = std::move(requests);
  return told;
}

class Forms {
public:
  explicit Forms(fs::path folder) : folder_(std::move(folder)) {}

  void write_all() {
    Limitr limitr = story_.open({});
    story_.play_first(limitr);
    first_ = must(limitr.export_state());
    story_.play_second(limitr);
    told_ = told_by(limitr);
    write("policy.written.yaml", written_under);
    write("policy.yaml", read_under());
    write("facts.json", facts());
    write("customers.json", must(limitr.customers()));
    write("export.json", must(limitr.export_state()));
    write_sqlite();
    write_file();
    write_redis();
    write_postgres();
  }

private:
  void write(const std::string& name, std::string_view text) {
    std::ofstream out(folder_ / name, std::ios::binary);
    out << text;
    if (!out.flush()) give_up("cannot write " + name);
  }

  // Loads the first part, closes, and plays the second.
  void fill(const std::string& url, const std::function<void()>& at_the_end = {}) {
    {
      Limitr limitr = story_.open(url);
      const LoadReport report = must(limitr.load_customers(first_));
      if (!report.refused.empty()) give_up(report.refused.front().error.to_string());
      must(limitr.close());
    }
    Limitr limitr = story_.open(url);
    story_.play_second(limitr);
    if (at_the_end) at_the_end();
    if (told_by(limitr) != told_) give_up(url + " has another state than the others");
    must(limitr.close());
  }

  void write_sqlite() {
    const TestFolder scratch;
    fill("sqlite:" + scratch.file("state.db"));
    fs::copy_file(scratch.file("state.db"), folder_ / "state.db");
  }

  // As a process leaves it that dies: the second part is in the journal only.
  void write_file() {
    const TestFolder scratch;
    const std::string json = scratch.file("state.json");
    fill("file:" + json, [&] {
      fs::copy_file(json, folder_ / "state.json");
      fs::copy_file(json + ".journal", folder_ / "state.json.journal");
    });
  }

  void write_redis() {
    const RedisServer server;
    fill("redis:///0?socket=" + server.socket());
    std::vector<std::string> keys = server.texts({"KEYS", "*"});
    std::sort(keys.begin(), keys.end());
    std::string text;
    for (const std::string& key : keys) text += Json(command_for(server, key)).dump() + "\n";
    write("redis.txt", text);
  }

  // What makes a key again.
  static std::vector<std::string> command_for(const RedisServer& server, const std::string& key) {
    const std::string type = server.ask({"TYPE", key});
    std::vector<std::string> values;
    if (type == "string") {
      values = server.texts({"GET", key});
      values.insert(values.begin(), {"SET", key});
    } else if (type == "hash") {
      values = server.texts({"HGETALL", key});
      values.insert(values.begin(), {"HSET", key});
    } else if (type == "zset") {
      values = server.texts({"ZRANGE", key, "0", "-1", "WITHSCORES"});
      for (std::size_t i = 0; i < values.size(); i += 2) std::swap(values[i], values[i + 1]);
      values.insert(values.begin(), {"ZADD", key});
    } else {
      give_up(key + " is of type " + type);
    }
    return values;
  }

  void write_postgres() {
    const PostgresServer server;
    fill(server.url());
    const TestFolder scratch;
    const std::string dump = scratch.file("dump.sql");
    const std::string command =
        fmt::format("'{}/pg_dump' --schema=limitr --no-owner --no-privileges '{}' > '{}'",
                    LIMITR_POSTGRES_BIN, server.url(), dump);
    if (std::system(command.c_str()) != 0) give_up("pg_dump has failed");
    std::ifstream in(dump);
    std::string text;
    for (std::string line; std::getline(in, line);) {
      // Only a psql of the same age knows these.
      if (!line.starts_with("\\restrict") && !line.starts_with("\\unrestrict")) text += line + "\n";
    }
    write("postgres.sql", text);
  }

  const fs::path folder_;
  Story story_;
  std::string first_;
  Json told_;
};

}  // namespace
}  // namespace limitr::store

int main(int argc, char** argv) {
  if (argc != 2 || std::filesystem::exists(argv[1])) {
    std::cerr << "usage: limitr_write_kept FOLDER\nFOLDER is one that is not there yet, such as "
                 "tests/store/data/0.1: what a version has written is never changed.\n";
    return 2;
  }
  // Stores name the host of their owner: it need not be that of whoever runs this.
  if (::unshare(CLONE_NEWUTS) == 0) (void)::sethostname("kept", 4);
  std::filesystem::create_directories(argv[1]);
  limitr::store::Forms(argv[1]).write_all();
  return 0;
}
