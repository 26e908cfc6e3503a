// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/policy.h>

// The commands of the program: each takes what was said on the command line, prints, and returns
// the exit code. Answers go to standard output, problems with the asking to standard error.
namespace limitr::cli {

/// The exit codes, as scripts know them.
enum Exit : int {
  exit_fine = 0,
  exit_negative = 1,  ///< Done, and the answer is no: invalid, different, failed.
  exit_trouble = 2,   ///< Not done: wrong usage, or input that cannot be read.
};

struct ValidateOptions {
  std::vector<std::string> files;
  std::string store;             ///< Whose policy is checked too, or empty.
  std::optional<Format> format;  ///< Unset: by the file's ending; YAML for standard input.
  DocumentBounds bounds;
  bool json = false;
};
int validate(const ValidateOptions& options);

struct DiffOptions {
  std::string before;
  std::string after;
  std::string store;  ///< Whose policy is the one before; there is no `after` then. Or empty.
  std::optional<Format> format;
  DocumentBounds bounds;
  bool json = false;
};
int diff(const DiffOptions& options);

/// Stands in the URL of a store for the number of a scenario.
inline constexpr std::string_view number_in_url = "{n}";

struct TestOptions {
  std::vector<std::string> files;  ///< Folders too.
  DocumentBounds bounds;           ///< Of policies that say nothing else, and of what holds them.
  std::string store;  ///< URLs of the stores they are played on, `{n}` for their numbers; or empty.
  bool shared = false;
  std::optional<std::uint64_t> reopen_every;  ///< So many steps; unset: never.
  bool check_first = true;
  bool verbose = false;
  bool json = false;
};
int test(const TestOptions& options);

struct RunOptions {
  std::string file;
  std::string customers;  ///< A snapshot to load first, or empty.
  std::string save;       ///< Where the state goes at the end, or empty.
  std::string store;      ///< The URL of the store that it is played on, or empty.
  DocumentBounds bounds;  ///< As for test().
  bool json = false;
};
int run(const RunOptions& options);

/// Becomes the limitr-bench program. Returns only when there is none.
int bench(const std::vector<std::string>& arguments);

/// Names the problem on standard error, and on a line of its own what to do about it. Returns
/// exit_trouble.
int trouble(const std::string& problem, const std::string& advice = {});

}  // namespace limitr::cli
