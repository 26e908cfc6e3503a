// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "call/policies.h"
#include "cli/command.h"
#include "cli/policy_file.h"
#include "cli/scenario/text_file.h"
#include "cli/stores.h"
#include "cli/terminal.h"
#include "open/stored.h"

namespace limitr::cli {
namespace {

struct Checked {
  std::string file;
  std::vector<Issue> issues;
  bool is_readable = true;  ///< Else its one issue says why.

  std::size_t count(Issue::Severity severity) const {
    return static_cast<std::size_t>(
        std::count_if(issues.begin(), issues.end(),
                      [&](const Issue& issue) { return issue.severity == severity; }));
  }
  bool is_valid() const { return count(Issue::Severity::error) == 0; }
};

Checked check(const std::string& file, const ValidateOptions& options) {
  const auto policy = read_policy(file, options.format, options.bounds);
  if (policy.ok()) return {file, validate_policy(policy->text, policy->format, options.bounds)};
  // Too large is something wrong with the policy, like any other bound that it passes.
  return {file,
          {{.message = policy.error().message}},
          policy.error().code == ErrorCode::document_too_large};
}

/// The policy that the store keeps; what is not there to read is a problem like that of a file.
Checked check_stored(const std::string& url) {
  const auto stored = StoredState::open(url);
  if (!stored.ok()) return {url, {{.message = stored.error().to_string()}}, false};
  const auto policy = kept_policy(*stored, url);
  if (!policy.ok()) return {url, {{.message = policy.error().to_string()}}, false};
  return {url, validate_policy(*policy, Format::json, stored_policy_bounds())};
}

void show(const Checked& checked, const Style& style) {
  const std::string name = scenario::shown_name(checked.file);
  for (const Issue& issue : checked.issues) {
    std::string place = name;
    if (issue.line != 0) place += fmt::format(":{}:{}", issue.line, issue.column);
    const bool is_error = issue.severity == Issue::Severity::error;
    print("{}: {}: {}{}\n", style.strong(place),
          is_error ? style.bad(call::severity_name(issue))
                   : style.caution(call::severity_name(issue)),
          issue.path.empty() ? "" : issue.path + ": ", issue.message);
  }
  const std::size_t errors = checked.count(Issue::Severity::error);
  const std::size_t warnings = checked.count(Issue::Severity::warning);
  const Shown verdict = errors == 0 ? style.good("valid") : style.bad("invalid");
  if (errors == 0 && warnings == 0) {
    print("{}: {}\n", name, verdict);
  } else {
    print("{}: {}, {} error{}, {} warning{}\n", name, verdict, errors, errors == 1 ? "" : "s",
          warnings, warnings == 1 ? "" : "s");
  }
}

void write(JsonWriter& out, const Checked& checked) {
  out.begin_object().field("file", checked.file).field("valid", checked.is_valid());
  out.key("issues");
  call::write(out, checked.issues);
  out.end_object();
}

}  // namespace

int validate(const ValidateOptions& options) {
  if (options.files.empty() && options.store.empty())
    return trouble("there is no policy to check: name files, or a --store",
                   "Try `limitr help validate`.");
  const Style style;
  int code = exit_fine;
  std::string json;
  JsonWriter out(json);
  out.begin_array();
  std::vector<Checked> all;
  for (const std::string& file : options.files) all.push_back(check(file, options));
  if (!options.store.empty()) all.push_back(check_stored(options.store));
  for (const Checked& checked : all) {
    if (options.json) {
      write(out, checked);
    } else if (checked.is_readable) {
      show(checked, style);
    } else {
      trouble(fmt::format("{}: {}", scenario::shown_name(checked.file),
                          checked.issues.front().message));
    }
    code = std::max<int>(code, !checked.is_readable ? exit_trouble
                               : checked.is_valid() ? exit_fine
                                                    : exit_negative);
  }
  out.end_array();
  if (options.json) print("{}\n", json);
  return code;
}

}  // namespace limitr::cli
