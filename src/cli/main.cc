// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <limitr/limitr.h>
#include "cli/command.h"

namespace limitr::cli {

int trouble(const std::string& problem) {
  // What is printed so far comes first, also where both streams end in one file.
  std::fflush(stdout);
  fmt::print(stderr, "limitr: {}\n", problem);
  return exit_trouble;
}

namespace {

constexpr std::string_view exit_codes = R"(
Exit codes, of every command:
  0  fine
  1  done, and the answer is no: a policy is invalid, two differ, a test failed
  2  not done: wrong usage, or input that cannot be read

Output is coloured on a terminal only, and never when NO_COLOR is set.
`limitr help COMMAND` shows a command's options and examples.
)";

constexpr std::string_view validate_examples = R"(
Examples:
  limitr validate policy.yaml             every problem with its place; exit 1 when there is one
  limitr validate plans/*.toml --json     the same for a program to read
  generate | limitr validate --format json -
  limitr validate --max-bytes 64000000 huge.yaml

Warnings (a condition, for which there is no language yet) do not change the exit code.
)";

constexpr std::string_view diff_examples = R"(
Examples:
  limitr diff old.yaml new.yaml           one line a difference: + added, - removed, ~ changed
  git show main:policy.yaml | limitr diff - policy.yaml
  limitr diff --json old.yaml new.toml    formats may differ: it compares what they say

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
  limitr test tests/ --json | jq '.scenarios[] | select(.passed | not)'

Exit code: 0 all passed, 1 some failed, 2 some could not be read.
)";

constexpr std::string_view run_examples = R"(
Plays a test file without comparing, and prints what was decided.

Examples:
  limitr run day.yaml                     a table: time, call, customer, answer, reason, meter
  limitr run day1.yaml --save state.json
  limitr run day2.yaml --customers state.json --save state.json

The state is saved in one step: after a crash the file is the old one or the new one.
Exit code: 0 every call was answered (denied is an answer), 1 a call failed, 2 trouble.
)";

constexpr std::string_view bench_examples = R"(
Examples:
  limitr bench                            every benchmark
  limitr bench allow snapshot             only those
  limitr bench -- --help                  what the benchmark program takes
)";

std::string text(std::string_view constant) {
  // The parser adds the empty line in front by itself.
  return std::string(constant.substr(1, constant.size() - 2));
}

struct CommandLine {
  ValidateOptions validate;
  DiffOptions diff;
  TestOptions test;
  RunOptions run;
  std::string help_topic;
};

void add_format(CLI::App& command, std::optional<Format>& format) {
  static const std::map<std::string, Format> formats = {
      {"yaml", Format::yaml}, {"json", Format::json}, {"toml", Format::toml}};
  command.add_option("--format", format, "Of the policy; else by the file's ending, YAML for -")
      ->transform(CLI::CheckedTransformer(formats).description(""))
      ->type_name("yaml|json|toml");
}

void add_bounds(CLI::App& command, DocumentBounds& bounds) {
  const auto add = [&](const char* name, std::size_t& bound, const char* what) {
    command.add_option(name, bound, fmt::format("{} (default {})", what, bound))->type_name("N");
  };
  add("--max-bytes", bounds.max_bytes, "Refuse a document that is larger");
  add("--max-nodes", bounds.max_nodes, "Refuse one of more values");
  add("--max-depth", bounds.max_depth, "Refuse one that is nested deeper");
}

CLI::App& add_validate(CLI::App& app, ValidateOptions& options) {
  CLI::App& command = *app.add_subcommand("validate", "Check policies: every problem, with place");
  command.add_option("policy", options.files, "Policy files; - is standard input")
      ->required()
      ->type_name("POLICY");
  add_format(command, options.format);
  add_bounds(command, options.bounds);
  command.add_flag("--json", options.json, "Print JSON");
  command.footer(text(validate_examples));
  return command;
}

CLI::App& add_diff(CLI::App& app, DiffOptions& options) {
  CLI::App& command = *app.add_subcommand("diff", "Show what a policy change changes");
  command.add_option("old", options.before, "The policy as it was; - is standard input")
      ->required()
      ->type_name("POLICY");
  command.add_option("new", options.after, "The policy as it is")->required()->type_name("POLICY");
  add_format(command, options.format);
  add_bounds(command, options.bounds);
  command.add_flag("--json", options.json, "Print JSON");
  command.footer(text(diff_examples));
  return command;
}

CLI::App& add_test(CLI::App& app, TestOptions& options) {
  CLI::App& command = *app.add_subcommand("test", "Run policy tests");
  command.add_option("file", options.files, "Test files, or folders of them")
      ->required()
      ->type_name("FILE");
  command.add_flag("--check,!--no-check", options.check_first,
                   "Call check before each allow, and compare the two (default)");
  command.add_flag("--verbose,-v", options.verbose, "Show every step, answer and event");
  command.add_flag("--json", options.json, "Print JSON");
  command.footer(text(test_examples));
  return command;
}

CLI::App& add_run(CLI::App& app, RunOptions& options) {
  CLI::App& command = *app.add_subcommand("run", "Play a test file and show every decision");
  command.add_option("file", options.file, "A file with one scenario")
      ->required()
      ->type_name("FILE");
  command.add_option("--customers", options.customers, "Load this state first")
      ->type_name("IN.json");
  command.add_option("--save", options.save, "Save the state at the end")->type_name("OUT.json");
  command.add_flag("--json", options.json, "Print JSON");
  command.footer(text(run_examples));
  return command;
}

int usage_error(const CLI::App& app, const std::string& problem) {
  const auto used = app.get_subcommands();
  const std::string topic = used.empty() ? "" : " " + used.front()->get_name();
  return trouble(fmt::format("{}\nTry `limitr help{}`.", problem, topic));
}

int help(const CLI::App& app, const std::string& overview, const std::string& topic) {
  if (topic.empty()) {
    fmt::print("{}", overview);
    return exit_fine;
  }
  for (const CLI::App* command : app.get_subcommands({})) {
    if (command->get_name() != topic) continue;
    fmt::print("{}", command->help("limitr"));
    return exit_fine;
  }
  return trouble(fmt::format("there is no command `{}`\nTry `limitr help`.", topic));
}

int dispatch(const CLI::App& app, const std::string& overview, const CommandLine& line) {
  const auto used = app.get_subcommands();
  if (used.empty()) {
    fmt::print(stderr, "{}", overview);
    return exit_trouble;
  }
  const std::string& name = used.front()->get_name();
  if (name == "validate") return validate(line.validate);
  if (name == "diff") return diff(line.diff);
  if (name == "test") return test(line.test);
  if (name == "run") return run(line.run);
  if (name == "bench") return bench(used.front()->remaining());
  if (name == "help") return help(app, overview, line.help_topic);
  fmt::print("limitr {}\n", Limitr::version());
  return exit_fine;
}

int start(int argc, char** argv) {
  CommandLine line;
  CLI::App app(
      "limitr decides what each customer may use right now, and meters it.\n"
      "This program checks, compares and tests the policies it decides by.",
      "limitr");
  app.footer(text(exit_codes));
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", fmt::format("limitr {}", Limitr::version()));
  add_validate(app, line.validate);
  add_diff(app, line.diff);
  add_test(app, line.test);
  add_run(app, line.run);
  CLI::App& bench_command = *app.add_subcommand("bench", "Measure this machine");
  bench_command.prefix_command()->footer(text(bench_examples));
  app.add_subcommand("version", "Print the version");
  app.add_subcommand("help", "Show help, of a command where one is named")
      ->add_option("command", line.help_topic, "A command's name")
      ->type_name("COMMAND");
  // Asked for now: once a command was read, this gives that command's help.
  const std::string overview = app.help();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return help(app, overview,
                app.get_subcommands().empty() ? "" : app.get_subcommands().front()->get_name());
  } catch (const CLI::CallForVersion& version) {
    fmt::print("{}\n", version.what());
    return exit_fine;
  } catch (const CLI::ParseError& wrong) {
    return usage_error(app, wrong.what());
  }
  return dispatch(app, overview, line);
}

}  // namespace
}  // namespace limitr::cli

int main(int argc, char** argv) { return limitr::cli::start(argc, argv); }
