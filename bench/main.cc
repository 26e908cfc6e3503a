// SPDX-License-Identifier: Apache-2.0
// The program behind `limitr bench`. A new bench: a file that answers one question, its function
// in benches.h, its line in the catalogue below.

#include <algorithm>
#include <charconv>

#include "base/json_writer.h"
#include "benches.h"

namespace limitr::bench {

namespace {

template <Row (*measure)(const Size&, Checks&)>
std::vector<Row> one_row(const Size& size, Checks& checks) {
  return {measure(size, checks)};
}

// One measurement, and the rows that come out of it.
struct Bench {
  struct Named {
    std::string_view name;
    std::string_view what;
  };
  std::vector<Named> rows;
  std::vector<Row> (*measure)(const Size&, Checks&);
};

const std::vector<Bench>& catalogue() {
  static const std::vector<Bench> benches = {
      {{{"allow_1k", "allow, hard limit, 1,000 customers, by strings"}}, one_row<allow_1k>},
      {{{"handle_1k", "the same through a handle"}}, one_row<handle_1k>},
      {{{"allow_1m", "allow by strings, 1,000,000 customers, at random"}}, one_row<allow_1m>},
      {{{"check_1k", "check, next to allow"}}, one_row<check_1k>},
      {{{"threads_2", "what a second thread adds, different customers"}}, one_row<threads_2>},
      {{{"allow_heap", "heap allocations in 10,000 plain allows"}}, one_row<allow_heap>},
      {{{"hardest", "scope, shared cap, grants, tiers, reset, events in one call"}},
       one_row<hardest>},
      {{{"create_customer", "a new customer with three meters"}}, one_row<create_customer>},
      {{{"bytes_1m", "memory per customer, 1,000,000 of them"}}, one_row<bytes_1m>},
      {{{"load_1m", "load_customers of 1,000,000, next to reading the numbers"},
        {"snapshot_1m", "customers() of 1,000,000 while calls go on"}},
       load_and_snapshot},
      {{{"validate_50k", "validate 1,000 plans of 50 entitlements"}}, one_row<validate_50k>},
  };
  return benches;
}

struct Command {
  std::vector<std::string_view> names;  // Empty: all.
  bool json = false;
  bool list = false;
  bool help = false;
  bool strict = false;
  Size size;
  std::optional<std::size_t> resident;

  bool wants(std::string_view name) const {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
  }
  bool wants(const Bench& bench) const {
    return std::any_of(bench.rows.begin(), bench.rows.end(),
                       [&](const Bench::Named& row) { return wants(row.name); });
  }
};

constexpr std::string_view usage =
    "usage: limitr bench [--json] [--quick | --strict] [--list] [NAME...]\n"
    "  --json    the results as one JSON object, or the list as JSON\n"
    "  --quick   tiny sizes: compares the answers, the times mean nothing\n"
    "  --strict  exit code 1 also when a goal is missed\n"
    "  --list    the names, and what each measures\n";

bool is_known(std::string_view name) {
  for (const Bench& bench : catalogue()) {
    for (const Bench::Named& row : bench.rows) {
      if (row.name == name) return true;
    }
  }
  return false;
}

std::optional<std::size_t> count_from(std::string_view text) {
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return count;
}

// None, and a message, where the arguments are wrong.
std::optional<Command> command_from(const std::vector<std::string_view>& arguments) {
  Command command;
  // Not for users: bytes_1m starts it.
  if (arguments.size() == 2 && arguments[0] == "--resident") {
    command.resident = count_from(arguments[1]);
    if (command.resident) return command;
  }
  for (const std::string_view argument : arguments) {
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
    } else if (is_known(argument)) {
      command.names.push_back(argument);
    } else {
      fmt::print(stderr, "limitr bench: no bench or option `{}`\n{}", argument, usage);
      return std::nullopt;
    }
  }
  if (command.strict && command.size.quick) {
    fmt::print(stderr, "limitr bench: the goals are not for the times of --quick\n{}", usage);
    return std::nullopt;
  }
  return command;
}

void print_list(const Command& command) {
  std::string text;
  JsonWriter json(text);
  json.begin_array();
  for (const Bench& bench : catalogue()) {
    for (const Bench::Named& row : bench.rows) {
      if (!command.wants(row.name)) continue;
      if (!command.json) fmt::print("{:<16} {}\n", row.name, row.what);
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
    const std::vector<Row> measured = bench.measure(command.size, checks);
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

int start(const std::vector<std::string_view>& arguments) {
  const std::optional<Command> command = command_from(arguments);
  if (!command) return 2;
  if (command->resident) return print_resident_growth(*command->resident);
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
