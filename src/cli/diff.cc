// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "call/policies.h"
#include "cli/command.h"
#include "cli/difference.h"
#include "cli/policy_file.h"
#include "cli/scenario/text_file.h"
#include "cli/stores.h"
#include "cli/terminal.h"
#include "open/stored.h"
#include "policy/document.h"

namespace limitr::cli {
namespace {

void show(const Difference& difference, const Style& style) {
  const auto text = [](const std::optional<Json>& side) {
    return side ? to_json_text(*side) : std::string();
  };
  const std::string before = text(difference.before);
  const std::string after = text(difference.after);
  switch (difference.kind) {
    case Difference::Kind::added:
      print("{}\n", style.good(fmt::format("+ {}: {}", difference.path, after)));
      break;
    case Difference::Kind::removed:
      print("{}\n", style.bad(fmt::format("- {}: {}", difference.path, before)));
      break;
    case Difference::Kind::changed:
      print("{}\n", style.caution(fmt::format("~ {}: {} -> {}", difference.path, before, after)));
      break;
  }
}

void print_json(const std::vector<Difference>& differences) {
  std::string json;
  JsonWriter out(json);
  call::write(out, differences);
  print("{}\n", json);
}

/// A side of the comparison. An error names its file; what is no mapping is none, or every key of
/// the other side would be a difference.
Result<PolicyFile> read_side(const std::string& file, const DiffOptions& options) {
  auto read = read_policy(file, options.format, options.bounds);
  if (!read.ok()) return read;
  const auto document = policy::parse_document(read->text, read->format, options.bounds);
  if (!document.ok()) return scenario::in_file(document.error(), file);
  if (document->as_mapping()) return read;
  return Error{.code = ErrorCode::policy_invalid,
               .message = fmt::format("a policy document is a mapping, not {}",
                                      document->is_null() ? "empty" : document->kind_name()),
               .where = scenario::shown_name(file)};
}

/// The policy that a store keeps.
Result<PolicyFile> read_stored(const std::string& url) {
  const auto stored = StoredState::open(url);
  if (!stored.ok()) return stored.error();
  auto policy = kept_policy(*stored, url);
  if (!policy.ok()) return std::move(policy).error();
  return PolicyFile{*std::move(policy), Format::json};
}

}  // namespace

int show_differences(const std::vector<Difference>& differences, bool json) {
  if (json) {
    print_json(differences);
  } else {
    const Style style;
    for (const Difference& difference : differences) show(difference, style);
  }
  return differences.empty() ? exit_fine : exit_negative;
}

int diff(const DiffOptions& options) {
  const bool is_stored = !options.store.empty();
  if (is_stored != options.after.empty())
    return trouble("two policies are compared: name both, or a --store and the new one",
                   "Try `limitr help diff`.");
  if (options.before == "-" && options.after == "-")
    return trouble("only one of the two policies can be standard input");
  const auto before = is_stored ? read_stored(options.store) : read_side(options.before, options);
  if (!before.ok()) return trouble(before.error().to_string());
  const auto after = read_side(is_stored ? options.before : options.after, options);
  if (!after.ok()) return trouble(after.error().to_string());
  const auto differences = diff_policies(before->text, before->format, after->text, after->format,
                                         is_stored ? stored_policy_bounds() : options.bounds);
  if (!differences.ok()) return trouble(differences.error().to_string());
  return show_differences(*differences, options.json);
}

}  // namespace limitr::cli
