// SPDX-License-Identifier: Apache-2.0
// spec: state.md
#include <array>

#include "call/answers.h"
#include "call/calls.h"

namespace limitr::call {
namespace {

constexpr std::array ids_only = {Parameter{"ids", Kind::texts, true}};

Answer warm(Limitr& engine, const Arguments& a) { return answer(engine.warm(*a.texts("ids"))); }

Answer flush(Limitr& engine, const Arguments&) { return answer(engine.flush()); }

Answer close(Limitr& engine, const Arguments&) {
  const auto closed = engine.close();
  if (!closed.ok()) return failed(closed.error());
  return {.value = *closed};
}

Answer fsck(Limitr& engine, const Arguments&) {
  const auto found = engine.fsck();
  if (!found.ok()) return failed(found.error());
  Json findings = Json::array();
  for (const AuditFinding& one : *found) {
    findings.push_back({{"customer", one.customer},
                        {"field", one.field},
                        {"message", one.message},
                        {"expected", one.expected ? Json(*one.expected) : Json()},
                        {"found", one.found ? Json(*one.found) : Json()}});
  }
  return {.value = std::move(findings)};
}

constexpr std::array calls = {
    CallKind{"warm", ids_only, warm},
    CallKind{"flush", {}, flush},
    CallKind{"close", {}, close},
    CallKind{"fsck", {}, fsck},
};

}  // namespace

std::span<const CallKind> store_calls() { return calls; }

}  // namespace limitr::call
