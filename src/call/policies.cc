// SPDX-License-Identifier: Apache-2.0
#include "call/policies.h"

namespace limitr::call {

std::string_view severity_name(const Issue& issue) {
  return issue.severity == Issue::Severity::error ? "error" : "warning";
}

std::string_view kind_name(const Difference& difference) {
  switch (difference.kind) {
    case Difference::Kind::added: return "added";
    case Difference::Kind::removed: return "removed";
    case Difference::Kind::changed: break;
  }
  return "changed";
}

void write(JsonWriter& out, const std::vector<Issue>& issues) {
  out.begin_array();
  for (const Issue& issue : issues) {
    out.begin_object()
        .field("severity", severity_name(issue))
        .field("path", issue.path)
        .field("message", issue.message)
        .field("line", issue.line)
        .field("column", issue.column)
        .end_object();
  }
  out.end_array();
}

void write(JsonWriter& out, const std::vector<Difference>& differences) {
  out.begin_array();
  for (const Difference& difference : differences) {
    out.begin_object().field("kind", kind_name(difference)).field("path", difference.path);
    if (difference.before) out.field("before", *difference.before);
    if (difference.after) out.field("after", *difference.after);
    out.end_object();
  }
  out.end_array();
}

}  // namespace limitr::call
