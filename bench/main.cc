// SPDX-License-Identifier: Apache-2.0
// The program behind `limitr bench`. A new bench: a file that answers one question, its function
// in benches.h, its line in the catalogue below.

#include <algorithm>
#include <charconv>
#include <functional>

#include "base/json_writer.h"
#include "benches.h"

namespace limitr::bench {

namespace {

template <Row (*measure)(const Size&, Checks&)>
std::vector<Row> one_row(const Size& size, Checks& checks) {
  return {measure(size, checks)};
}

template <Row (*measure)(const Size&, const std::string&, Checks&)>
std::vector<Row> one_row_at(const Size& size, const std::string& store, Checks& checks) {
  return {measure(size, store, checks)};
}

// Bound to where the store is, if it wants one.
using Measure = std::function<std::vector<Row>(const Size&, const std::string& store, Checks&)>;

Measure without_store(std::vector<Row> (*measure)(const Size&, Checks&)) {
  return [measure](const Size& size, const std::string&, Checks& checks) {
    return measure(size, checks);
  };
}

// One measurement, and the rows that come out of it.
struct Bench {
  struct Named {
    std::string_view name;
    std::string_view what;
  };
  std::vector<Named> rows;
  Measure measure;
  std::string_view store = {};  // The kind that it is for; empty: none.
};

std::vector<Bench> engine_benches() {
  return {
      {{{"allow_1k", "allow, hard limit, 1,000 customers, by strings"}},
       without_store(one_row<allow_1k>)},
      {{{"handle_1k", "the same through a handle"}}, without_store(one_row<handle_1k>)},
      {{{"allow_1m", "allow by strings, 1,000,000 customers, at random"}},
       without_store(one_row<allow_1m>)},
      {{{"check_1k", "check, next to allow"}}, without_store(one_row<check_1k>)},
      {{{"c_allow", "allow_1k through the C interface, next to C++"}},
       without_store(one_row<c_allow>)},
      {{{"threads_2", "what a second thread adds, different customers"}},
       without_store(one_row<threads_2>)},
      {{{"allow_heap", "heap allocations in 10,000 plain allows"}},
       without_store(one_row<allow_heap>)},
      {{{"hardest", "scope, shared cap, grants, tiers, reset, events in one call"}},
       without_store(one_row<hardest>)},
      {{{"create_customer", "a new customer with three meters"}},
       without_store(one_row<create_customer>)},
      {{{"bytes_1m", "memory per customer, 1,000,000 of them"}}, without_store(one_row<bytes_1m>)},
      {{{"load_1m", "load_customers of 1,000,000, next to reading the numbers"},
        {"snapshot_1m", "customers() of 1,000,000 while calls go on"}},
       without_store(load_and_snapshot)},
      {{{"validate_50k", "validate 1,000 plans of 50 entitlements"}},
       without_store(one_row<validate_50k>)},
  };
}

std::vector<Bench> store_benches() {
  return {
#ifdef LIMITR_SQLITE
      {{{"sqlite_sync_1", "SQLite, sync, one caller, next to SQLite"}},
       one_row_at<sqlite_sync_1>,
       "sqlite"},
      {{{"sqlite_sync_1000", "SQLite, sync, 1,000 calls in flight, next to 1,000 rows a commit"}},
       one_row_at<sqlite_sync_1000>,
       "sqlite"},
      {{{"sqlite_interval", "SQLite, written every 100 ms, next to no store"}},
       one_row_at<sqlite_interval>,
       "sqlite"},
      {{{"sqlite_flat", "SQLite, sync, one caller, 1,000,000 customers, next to 1,000"},
        {"restart_demand", "SQLite, 1,000,000 customers: opened, until the first answer"},
        {"restart_all", "the same, all of them read"},
        {"bytes_1m_store", "the same, memory per customer"}},
       sqlite_million,
       "sqlite"},
#endif
#ifdef LIMITR_REDIS
      {{{"redis_sync_64", "Redis, sync, 64 calls in flight, next to a script"}},
       one_row_at<redis_sync_64>,
       "redis"},
      {{{"redis_shared_1", "Redis, shared, one caller, next to a script"}},
       one_row_at<redis_shared_1>,
       "redis"},
      {{{"redis_shared_64", "Redis, shared by two processes, 32 calls in flight each"}},
       one_row_at<redis_shared_64>,
       "redis"},
#endif
#ifdef LIMITR_POSTGRES
      {{{"postgres_sync_64", "PostgreSQL, sync, 64 calls in flight, next to UPDATE"}},
       one_row_at<postgres_sync_64>,
       "postgres"},
#endif
#ifdef LIMITR_CLOUD_POSTGRES
      {{{"cloud_one_hot", "Cloud on PostgreSQL, one customer, 2 engines, 64 calls in flight each"}},
       one_row_at<cloud_one_hot>,
       "postgres"},
#endif
  };
}

std::vector<Bench> cloud_benches() {
  return {
#ifdef LIMITR_CLOUD_SQLITE
      {{{"cloud_home", "Cloud, allow at its home, next to no server"}},
       one_row_at<cloud_home>,
       "cloud"},
      {{{"cloud_first", "Cloud, the first call of a customer"}}, one_row_at<cloud_first>, "cloud"},
      {{{"cloud_contended_1", "Cloud, one customer, two engines in turn"}},
       one_row_at<cloud_contended_1>,
       "cloud"},
      {{{"cloud_contended_64", "Cloud, 1,000 customers, 2 engines, 64 calls in flight each"}},
       one_row_at<cloud_contended_64>,
       "cloud"},
      {{{"cloud_warm", "Cloud, warm of 1,000 customers"},
        {"cloud_warm_trips", "the same, round trips"},
        {"cloud_ensure", "Cloud, 1,000 ensure_customer at once, of customers that are there"},
        {"cloud_ensure_trips", "the same, round trips"},
        {"cloud_ensure_new", "1,000 ensure_customer at once, of new customers"},
        {"cloud_ensure_new_trips", "the same, round trips"}},
       cloud_warm,
       "cloud"},
      {{{"cloud_policy", "Cloud, a policy that is pushed, until 100 engines have it"}},
       one_row_at<cloud_policy>,
       "cloud"},
      {{{"cloud_connection_memory", "Cloud, memory of the server per idle connection"},
        {"cloud_customer_memory", "memory of an engine per loaded customer, next to no server"}},
       cloud_memory,
       "cloud"},
#endif
  };
}

const std::vector<Bench>& catalogue() {
  static const std::vector<Bench> benches = [] {
    std::vector<Bench> all = engine_benches();
    for (Bench& bench : store_benches()) all.push_back(std::move(bench));
    for (Bench& bench : cloud_benches()) all.push_back(std::move(bench));
    return all;
  }();
  return benches;
}

// The kind of store that a URL is of, as the catalogue has it.
std::string_view kind_of(std::string_view url) {
  const std::string_view kind = url.substr(0, url.find(':'));
  return kind == "postgresql" ? "postgres" : kind;
}

struct Command {
  std::vector<std::string_view> names;   // Empty: all there are for the stores, or without any.
  std::vector<std::string_view> stores;  // URLs, one of a kind.
  bool json = false;
  bool list = false;
  bool help = false;
  bool strict = false;
  Size size;

  bool wants(std::string_view name) const {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
  }
  bool wants(const Bench& bench) const {
    if (names.empty() && bench.store.empty() != stores.empty()) return false;
    return has_store_for(bench) &&
           std::any_of(bench.rows.begin(), bench.rows.end(),
                       [&](const Bench::Named& row) { return wants(row.name); });
  }
  bool has_store_for(const Bench& bench) const {
    return bench.store.empty() || !store_for(bench).empty();
  }
  std::string store_for(const Bench& bench) const {
    for (const std::string_view url : stores) {
      if (kind_of(url) == bench.store) return std::string(url);
    }
    return {};
  }
};

constexpr std::string_view usage =
    "usage: limitr bench [--store URL]... [--json] [--quick | --strict] [--list] [NAME...]\n"
    "  --store   the benches of this kind of store instead, each on things of its own, which it\n"
    "            removes: sqlite:PATH or cloud:PATH, where nothing is yet; redis://... or\n"
    "            postgres://..., a server that is there for this alone\n"
    "  --json    the results as one JSON object, or the list as JSON\n"
    "  --quick   tiny sizes: compares the answers, the times mean nothing\n"
    "  --strict  exit code 1 also when a goal is missed\n"
    "  --list    the names, and what each measures\n";

const Bench* bench_of(std::string_view name) {
  for (const Bench& bench : catalogue()) {
    for (const Bench::Named& row : bench.rows) {
      if (row.name == name) return &bench;
    }
  }
  return nullptr;
}

// What is wrong with the arguments as a whole; empty: nothing.
std::string problem_of(const Command& command) {
  if (command.strict && command.size.quick) return "the goals are not for the times of --quick";
  for (std::size_t i = 0; i < command.stores.size(); ++i) {
    const std::string_view kind = kind_of(command.stores[i]);
    const bool is_known = std::any_of(catalogue().begin(), catalogue().end(),
                                      [&](const Bench& bench) { return bench.store == kind; });
    if (kind.empty() || !is_known) {
      return fmt::format("there are no benches for a store of the kind `{}`", kind);
    }
    for (std::size_t other = 0; other < i; ++other) {
      if (kind_of(command.stores[other]) == kind) return fmt::format("two stores of `{}`", kind);
    }
  }
  for (const std::string_view name : command.names) {
    const Bench& bench = *bench_of(name);
    if (!command.has_store_for(bench)) {
      return fmt::format("`{}` needs --store {}:...", name, bench.store);
    }
  }
  return {};
}

// None, and a message, where the arguments are wrong.
std::optional<Command> command_from(const std::vector<std::string_view>& arguments) {
  Command command;
  constexpr std::string_view store_is = "--store=";
  std::string problem;
  for (std::size_t i = 0; i < arguments.size() && problem.empty(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--json") {
      command.json = true;
    } else if (argument == "--list") {
      command.list = true;
    } else if (argument == "--quick") {
      command.size.quick = true;
    } else if (argument == "--strict") {
      command.strict = true;
    } else if (argument == "--help" || argument == "-h") {
      command.help = true;
    } else if (argument == "--store" && i + 1 < arguments.size()) {
      command.stores.push_back(arguments[++i]);
    } else if (argument.starts_with(store_is)) {
      command.stores.push_back(argument.substr(store_is.size()));
    } else if (argument == "--store") {
      problem = "--store needs a URL";
    } else if (bench_of(argument) != nullptr) {
      command.names.push_back(argument);
    } else {
      problem = fmt::format("no bench or option `{}`", argument);
    }
  }
  if (problem.empty()) problem = problem_of(command);
  if (problem.empty()) return command;
  fmt::print(stderr, "limitr bench: {}\n{}", problem, usage);
  return std::nullopt;
}

void print_list(const Command& command) {
  std::string text;
  JsonWriter json(text);
  json.begin_array();
  for (const Bench& bench : catalogue()) {
    for (const Bench::Named& row : bench.rows) {
      if (!command.wants(bench) || !command.wants(row.name)) continue;
      if (!command.json) fmt::print("{:<24} {}\n", row.name, row.what);
      json.begin_object().field("name", row.name).field("what", row.what).end_object();
    }
  }
  json.end_array();
  if (command.json) fmt::print("{}\n", text);
}

// Runs what the command wants, prints each row of the table as soon as it is there. Exit code.
int run(const Command& command) {
  std::vector<Row> rows;
  bool answers_agree = true;
  if (!command.json) {
    if (command.size.quick) fmt::print("Tiny sizes: only the answers count, not the times.\n");
    fmt::print("{}", table_head());
  }
  for (const Bench& bench : catalogue()) {
    if (!command.wants(bench)) continue;
    std::fflush(stdout);
    Checks checks;
    const std::vector<Row> measured = bench.measure(command.size, command.store_for(bench), checks);
    for (const std::string& failure : checks.failures()) {
      fmt::print(stderr, "limitr bench: {}: {}\n", bench.rows.front().name, failure);
    }
    if (!checks.failures().empty()) {
      answers_agree = false;
      continue;
    }
    for (const Row& row : measured) {
      if (!command.wants(row.name)) continue;
      if (!command.json) fmt::print("{}", table_line(row, checks.hash()));
      rows.push_back(row);
    }
  }
  if (command.json) fmt::print("{}", json_text(rows));
  const bool all_met =
      std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.met(); });
  return answers_agree && (all_met || !command.strict) ? 0 : 1;
}

std::size_t count_from(std::string_view text) {
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc() && end == text.data() + text.size()) return count;
  stop({.code = ErrorCode::invalid_argument, .message = fmt::format("`{}` is no number", text)});
}

// Not for users: what benches start in processes of their own. None where it is nothing of that.
std::optional<int> run_as_child(const std::vector<std::string_view>& words) {
  if (words.size() == 2 && words[0] == "--resident") {
    return print_resident_growth(count_from(words[1]));
  }
#ifdef LIMITR_SQLITE
  if (words.size() == 5 && words[0] == "--reopen") {
    return print_reopened(std::string(words[1]), words[2] == "all", count_from(words[3]),
                          count_from(words[4]));
  }
#endif
  if (words.size() == 7 && words[0] == "--share") {
    return share_calls(std::string(words[1]),
                       {.customers = count_from(words[4]),
                        .calls = count_from(words[5]),
                        .in_flight = count_from(words[6]),
                        .limit = static_cast<double>(count_from(words[2]))},
                       count_from(words[3]));
  }
#ifdef LIMITR_CLOUD_SQLITE
  if (words.size() == 3 && words[0] == "--loaded") {
    return print_loaded_growth(std::string(words[1]), count_from(words[2]));
  }
#endif
  return std::nullopt;
}

int start(const std::vector<std::string_view>& arguments) {
  if (const std::optional<int> code = run_as_child(arguments)) return *code;
  const std::optional<Command> command = command_from(arguments);
  if (!command) return 2;
  if (command->help) {
    fmt::print("{}", usage);
    return 0;
  }
  if (command->list) {
    print_list(*command);
    return 0;
  }
  return run(*command);
}

}  // namespace

}  // namespace limitr::bench

int main(int argc, char** argv) { return limitr::bench::start({argv + 1, argv + argc}); }
