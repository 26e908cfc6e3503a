// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "cli/command.h"
#include "cli/policy_file.h"
#include "cli/terminal.h"

namespace limitr::cli {
namespace {

struct Checked {
  std::string file;
  std::vector<Issue> issues;

  std::size_t count(Issue::Severity severity) const {
    return static_cast<std::size_t>(
        std::count_if(issues.begin(), issues.end(),
                      [&](const Issue& issue) { return issue.severity == severity; }));
  }
  bool is_valid() const { return count(Issue::Severity::error) == 0; }
};

std::string_view name(Issue::Severity severity) {
  return severity == Issue::Severity::error ? "error" : "warning";
}

Result<Checked> check(const std::string& file, const ValidateOptions& options) {
  const auto policy = read_policy(file, options.format, options.bounds);
  if (policy.ok())
    return Checked{file, validate_policy(policy->text, policy->format, options.bounds)};
  if (policy.error().code != ErrorCode::document_too_large) return policy.error();
  // Too large is something wrong with the policy, like any other bound that it passes.
  return Checked{file,
                 {{.path = "", .message = policy.error().message + "; --max-bytes raises it"}}};
}

void print(const Checked& checked, const Style& style) {
  for (const Issue& issue : checked.issues) {
    std::string place = checked.file == "-" ? "standard input" : checked.file;
    if (issue.line != 0) place += fmt::format(":{}:{}", issue.line, issue.column);
    const bool is_error = issue.severity == Issue::Severity::error;
    const std::string severity =
        is_error ? style.bad(name(issue.severity)) : style.caution(name(issue.severity));
    fmt::print("{}: {}: {}{}\n", style.strong(place), severity,
               issue.path.empty() ? "" : issue.path + ": ", issue.message);
  }
  const std::size_t errors = checked.count(Issue::Severity::error);
  const std::size_t warnings = checked.count(Issue::Severity::warning);
  if (errors == 0 && warnings == 0) {
    fmt::print("{}: {}\n", checked.file, style.good("valid"));
  } else {
    fmt::print("{}: {}, {} error{}, {} warning{}\n", checked.file,
               errors == 0 ? style.good("valid") : style.bad("invalid"), errors,
               errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
  }
}

void write(JsonWriter& out, const Checked& checked) {
  out.begin_object().field("file", checked.file).field("valid", checked.is_valid());
  out.key("issues").begin_array();
  for (const Issue& issue : checked.issues) {
    out.begin_object()
        .field("severity", name(issue.severity))
        .field("path", issue.path)
        .field("message", issue.message)
        .field("line", issue.line)
        .field("column", issue.column)
        .end_object();
  }
  out.end_array().end_object();
}

}  // namespace

int validate(const ValidateOptions& options) {
  const Style style;
  int code = exit_fine;
  std::string json;
  JsonWriter out(json);
  out.begin_array();
  for (const std::string& file : options.files) {
    const auto checked = check(file, options);
    if (!checked.ok()) {
      code = trouble(checked.error().to_string());
      continue;
    }
    if (options.json) {
      write(out, *checked);
    } else {
      print(*checked, style);
    }
    if (!checked->is_valid()) code = std::max<int>(code, exit_negative);
  }
  out.end_array();
  if (options.json) fmt::print("{}\n", json);
  return code;
}

}  // namespace limitr::cli
