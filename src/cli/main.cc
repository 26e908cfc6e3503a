// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <limitr/limitr.h>
#include "cli/command.h"
#include "cli/options.h"
#include "cli/store_usage.h"
#include "cli/terminal.h"

#ifdef LIMITR_CLOUD
#include "cli/cloud_usage.h"
#include "cli/serve.h"
#endif

namespace limitr::cli {

int trouble(const std::string& problem, const std::string& advice) {
  // What is printed so far comes first, also where both streams end in one file.
  std::fflush(stdout);
  print_to(stderr, "limitr: {}\n", problem);
  if (!advice.empty()) print_to(stderr, "{}\n", advice);
  return exit_trouble;
}

namespace {

constexpr std::string_view exit_codes = R"(
Exit codes, of every command:
  0  fine
  1  done, and the answer is no: denied, a policy is invalid, two differ, a test failed, books do not
     balance, there was nothing to change
  2  not done: wrong usage, input that cannot be read, output that cannot be written, or a store
     that cannot be had

Output is coloured on a terminal only, and never when NO_COLOR is set.
`limitr help COMMAND` shows a command's options and examples.
)";

constexpr std::string_view validate_examples = R"(
Examples:
  limitr validate policy.yaml             every problem with its place; exit 1 when there is one
  limitr validate plans/*.toml --json     the same for a program to read
  generate | limitr validate --format json -
  limitr validate --max-bytes 64000000 huge.yaml
  limitr validate --store sqlite:limitr.db       the policy that is kept there

Warnings (a condition, for which there is no language yet) do not change the exit code.
)";

constexpr std::string_view diff_examples = R"(
Examples:
  limitr diff old.yaml new.yaml           one line a difference: + added, - removed, ~ changed
  git show main:policy.yaml | limitr diff - policy.yaml
  limitr diff --json old.yaml new.toml    formats may differ: it compares what they say
  limitr diff --store sqlite:limitr.db new.yaml
                                          what new.yaml would change for who is in the store

Exit code: 0 they say the same, 1 they differ, 2 trouble.
)";

constexpr std::string_view test_examples = R"(
A test is a policy, calls with their times, and what they should answer:

  policy: policy.yaml                     a path from this file, or the policy itself
  steps:
    - { at: 2026-03-01, call: create_customer, args: { id: ann, plan: pro }, expect: true }
    - { at: +1s, call: allow, args: { id: ann, entitlement: chat, value: 4 }, expect: true }
    - { at: +1h, call: allow, args: { id: ann, entitlement: chat, value: 9 },
        expect: { allowed: false, reason: limit } }

Examples:
  limitr test tests/                      every .yaml .yml .json .ndjson below the folder
  limitr test chat.yaml --verbose         each step with its answer and events
  limitr test tests/ --store 'sqlite:/tmp/{n}.db' --reopen 1
                                          on stores, each opened anew after every step
  limitr test tests/ --json | jq '.scenarios[] | select(.passed | not)'

The bounds are for policies, where a test's `options` name none, and for the nesting and the values
of the test files themselves.

Exit code: 0 all passed, 1 some failed, 2 some could not be read.
)";

constexpr std::string_view run_examples = R"(
Plays a test file without comparing, and prints what was decided.

Examples:
  limitr run day.yaml                     a table: time, call, customer, answer, reason, meter
  limitr run day1.yaml --save state.json
  limitr run day2.yaml --customers state.json --save state.json
  limitr run day1.yaml --store sqlite:limitr.db

The state is saved in one step: after a crash the file is the old one or the new one. It is not
saved when a record of --customers was refused, since it would be missing then. On a store, what
SIGTERM finds still to do is not played; what was played is written out, and how much that was goes
to standard error.

Exit code: 0 every call was answered (denied is an answer), 1 a call failed or a record was
refused, 2 trouble.
)";

constexpr std::string_view bench_examples = R"(
What follows is for the benchmark program:

  NAME...      only these benchmarks
  --store URL  the benchmarks of this kind of store instead, on things of their own which they
               remove: sqlite:PATH, where nothing is yet; redis://... or postgres://..., a server
               that is there for this alone. May be given once for each kind
  --list       the names, and what each measures
  --json       the results, or the list, as JSON
  --quick      tiny sizes: compares the answers, the times mean nothing
  --strict     exit code 1 also when a goal is missed

Examples:
  limitr bench                            every benchmark that needs no store
  limitr bench allow_1k snapshot_1m       only those
  limitr bench --store=sqlite:bench.tmp   those of the SQLite store
  limitr bench --list

Exit code: 0 fine, 1 answers disagree or, with --strict, a goal is missed, 2 wrong usage.
)";

struct CommandLine {
  ValidateOptions validate;
  DiffOptions diff;
  TestOptions test;
  RunOptions run;
  StoreUsage stores;
#ifdef LIMITR_CLOUD
  ServeUsage serve;
  CloudUsage cloud;
#endif
  std::vector<std::string> help_topic;  ///< A command, and one of its own.
};

CLI::App& add_validate(CLI::App& app, ValidateOptions& options) {
  CLI::App& command = *app.add_subcommand("validate", "Check policies: every problem, with place");
  command.add_option("policy", options.files, "Policy files; - is standard input")
      ->check(is_named())
      ->type_name("POLICY");
  add_store(command, options.store, /*optional=*/true);
  add_format(command, options.format);
  add_bounds(command, options.bounds);
  command.add_flag("--json", options.json, "Print JSON");
  command.footer(footer_text(validate_examples));
  return command;
}

CLI::App& add_diff(CLI::App& app, DiffOptions& options) {
  CLI::App& command = *app.add_subcommand("diff", "Show what a policy change changes");
  command.add_option("old", options.before, "The policy as it was; - is standard input")
      ->required()
      ->check(is_named())
      ->type_name("POLICY");
  command.add_option("new", options.after, "The policy as it is")
      ->check(is_named())
      ->type_name("POLICY");
  add_store(command, options.store, /*optional=*/true);
  add_format(command, options.format);
  add_bounds(command, options.bounds);
  command.add_flag("--json", options.json, "Print JSON");
  command.footer(footer_text(diff_examples));
  return command;
}

CLI::App& add_test(CLI::App& app, TestOptions& options) {
  CLI::App& command = *app.add_subcommand("test", "Run policy tests");
  command.add_option("file", options.files, "Test files, or folders of them")
      ->required()
      ->check(is_named())
      ->type_name("FILE");
  add_bounds(command, options.bounds);
  command
      .add_option("--store", options.store,
                  "Keep the state of each scenario in a store of its own: {n} is its number")
      ->check([](const std::string& url) -> std::string {
        if (url.find(number_in_url) != std::string::npos) return {};
        return "each scenario needs a store of its own: put {n} where its number goes, as in "
               "sqlite:test-{n}.db";
      })
      ->type_name("URL");
  command.add_flag("--shared", options.shared, "Share the store, as several engines would")
      ->needs("--store");
  add_read_option(command, "--reopen", "Close and open the engine again after every N steps",
                  [&options](const std::string& written) -> std::string {
                    options.reopen_every = whole_number(written);
                    if (options.reopen_every.value_or(0) != 0) return {};
                    return fmt::format("`{}` is no whole number above 0", written);
                  })
      ->type_name("N");
  command.add_flag("--check,!--no-check", options.check_first,
                   "Call check before each allow, and compare the two (default)");
  command.add_flag("--verbose,-v", options.verbose, "Show every step, answer and event");
  command.add_flag("--json", options.json, "Print JSON");
  command.footer(footer_text(test_examples));
  return command;
}

CLI::App& add_run(CLI::App& app, RunOptions& options) {
  CLI::App& command = *app.add_subcommand("run", "Play a test file and show every decision");
  command.add_option("file", options.file, "A file with one scenario")
      ->required()
      ->check(is_named())
      ->type_name("FILE");
  command.add_option("--customers", options.customers, "Load this state first")
      ->check(is_named())
      ->type_name("IN.json");
  command.add_option("--save", options.save, "Save the state at the end")
      ->check(is_named())
      ->type_name("OUT.json");
  add_store(command, options.store, /*optional=*/true);
  add_bounds(command, options.bounds);
  command.add_flag("--json", options.json, "Print JSON");
  command.footer(footer_text(run_examples));
  return command;
}

int no_command(const std::string& name) {
  return trouble(fmt::format("there is no command `{}`", name), "Try `limitr help`.");
}

/// The command that was used, and which of its own.
std::vector<std::string> used_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (auto used = app.get_subcommands(); !used.empty(); used = used.front()->get_subcommands()) {
    names.push_back(used.front()->get_name());
  }
  return names;
}

/// "create|list|revoke", of a command that has some of its own.
std::string commands_of(CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* one : command.get_subcommands({})) names.push_back(one->get_name());
  return fmt::format("{}", fmt::join(names, "|"));
}

int usage_error(const CLI::App& app, const std::string& problem) {
  std::string topic;
  for (const std::string& name : used_names(app)) topic += " " + name;
  return trouble(problem, fmt::format("Try `limitr help{}`.", topic));
}

int help(const CLI::App& app, const std::string& overview, const std::vector<std::string>& topic) {
  if (topic.empty()) {
    print("{}", Shown{overview});
    return exit_fine;
  }
  const CLI::App* found = &app;
  std::string before = "limitr";
  for (const std::string& name : topic) {
    const auto all = found->get_subcommands({});
    const auto command = std::ranges::find(all, name, &CLI::App::get_name);
    if (command == all.end()) return no_command(fmt::format("{}", fmt::join(topic, " ")));
    if (found != &app) before += " " + found->get_name();
    found = *command;
  }
  print("{}", Shown{found->help(before)});
  return exit_fine;
}

int dispatch(const CLI::App& app, const std::string& overview, const CommandLine& line) {
  const auto used = app.get_subcommands();
  if (used.empty()) {
    print_to(stderr, "{}", Shown{overview});
    return exit_trouble;
  }
  const std::string& name = used.front()->get_name();
  if (name == "validate") return validate(line.validate);
  if (name == "diff") return diff(line.diff);
  if (name == "test") return test(line.test);
  if (name == "run") return run(line.run);
  if (name == "bench") return bench(used.front()->remaining());
  if (name == "help") return help(app, overview, line.help_topic);
  if (const auto code = line.stores.run(name)) return *code;
#ifdef LIMITR_CLOUD
  if (name == "serve") return line.serve.run();
  if (const auto code = line.cloud.run(*used.front())) return *code;
#endif
  print("limitr {}\n", Limitr::version());
  return exit_fine;
}

int start(int argc, char** argv) {
  CommandLine line;
  CLI::App app(
      "limitr decides what each customer may use right now, and meters it.\n"
      "This program checks, compares and tests the policies it decides by, and reads, checks and\n"
      "changes the state that stores keep.",
      "limitr");
  app.footer(footer_text(exit_codes));
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", fmt::format("limitr {}", Limitr::version()));
  add_validate(app, line.validate);
  add_diff(app, line.diff);
  add_test(app, line.test);
  add_run(app, line.run);
  line.stores.add_to(app);
#ifdef LIMITR_CLOUD
  line.serve.add_to(app);
  line.cloud.add_to(app);
#endif
  CLI::App& bench_command = *app.add_subcommand("bench", "Measure this machine");
  bench_command.prefix_command()->footer(footer_text(bench_examples));
  app.add_subcommand("version", "Print the version");
  app.add_subcommand("help", "Show help, of a command where one is named")
      ->add_option("command", line.help_topic, "A command's name")
      ->type_name("COMMAND");
  // Asked for now: once a command was read, this gives that command's help.
  const std::string overview = app.help();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return help(app, overview, used_names(app));
  } catch (const CLI::CallForVersion& version) {
    print("{}\n", version.what());
    return exit_fine;
  } catch (const CLI::ExtrasError& wrong) {
    const auto words = app.remaining();
    const bool is_command = app.get_subcommands().empty() && !words.front().starts_with('-');
    return is_command ? no_command(words.front()) : usage_error(app, wrong.what());
  } catch (const CLI::RequiredError& wrong) {
    // A command's own one, where the word that was said is none.
    const auto words = app.remaining(true);
    const bool is_command = !words.empty() && !words.front().starts_with('-');
    if (app.get_subcommands().empty()) return usage_error(app, wrong.what());
    if (is_command) return no_command(used_names(app).front() + " " + words.front());
    const std::string commands = commands_of(*app.get_subcommands().front());
    if (commands.empty() || used_names(app).size() > 1) return usage_error(app, wrong.what());
    return usage_error(
        app, fmt::format("say what to do: limitr {} {}", used_names(app).front(), commands));
  } catch (const CLI::ParseError& wrong) {
    return usage_error(app, wrong.what());
  }
  return dispatch(app, overview, line);
}

int run_program(int argc, char** argv) {
  begin_output();
  const int code = start(argc, argv);
  const std::string problem = output_problem();
  return problem.empty() ? code : trouble("cannot write the output: " + problem);
}

}  // namespace
}  // namespace limitr::cli

int main(int argc, char** argv) { return limitr::cli::run_program(argc, argv); }
