// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/json_writer.h"
#include "cli/command.h"
#include "cli/policy_file.h"
#include "cli/terminal.h"

namespace limitr::cli {
namespace {

std::string_view name(Difference::Kind kind) {
  switch (kind) {
    case Difference::Kind::added: return "added";
    case Difference::Kind::removed: return "removed";
    case Difference::Kind::changed: return "changed";
  }
  return "changed";
}

void print(const Difference& difference, const Style& style) {
  const auto text = [](const std::optional<Json>& side) {
    return side ? to_json_text(*side) : std::string();
  };
  const std::string before = text(difference.before);
  const std::string after = text(difference.after);
  switch (difference.kind) {
    case Difference::Kind::added:
      fmt::print("{}\n", style.good(fmt::format("+ {}: {}", difference.path, after)));
      break;
    case Difference::Kind::removed:
      fmt::print("{}\n", style.bad(fmt::format("- {}: {}", difference.path, before)));
      break;
    case Difference::Kind::changed:
      fmt::print("{}\n",
                 style.caution(fmt::format("~ {}: {} -> {}", difference.path, before, after)));
      break;
  }
}

void print_json(const std::vector<Difference>& differences) {
  std::string json;
  JsonWriter out(json);
  out.begin_array();
  for (const Difference& difference : differences) {
    out.begin_object().field("kind", name(difference.kind)).field("path", difference.path);
    if (difference.before) out.field("before", *difference.before);
    if (difference.after) out.field("after", *difference.after);
    out.end_object();
  }
  out.end_array();
  fmt::print("{}\n", json);
}

}  // namespace

int diff(const DiffOptions& options) {
  if (options.before == "-" && options.after == "-")
    return trouble("only one of the two policies can be standard input");
  const auto before = read_policy(options.before, options.format, options.bounds);
  if (!before.ok()) return trouble(before.error().to_string());
  const auto after = read_policy(options.after, options.format, options.bounds);
  if (!after.ok()) return trouble(after.error().to_string());
  const auto differences =
      diff_policies(before->text, before->format, after->text, after->format, options.bounds);
  if (!differences.ok()) return trouble(differences.error().to_string());
  if (options.json) {
    print_json(*differences);
  } else {
    const Style style;
    for (const Difference& difference : *differences) print(difference, style);
  }
  return differences->empty() ? exit_fine : exit_negative;
}

}  // namespace limitr::cli
