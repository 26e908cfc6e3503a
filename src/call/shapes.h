// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "call/arguments.h"
#include "policy/document.h"

// The fields that answers, events and records are known to have: the one place that lists them, so
// that a misspelled one is found also where nothing is expected of it.
namespace limitr::call {

/// What is known of a value. Of a null Shape nothing is: metadata and event data are their
/// owner's, and what is expected there must be there.
struct Shape {
  struct Field {
    std::string_view name;
    const Shape* shape = nullptr;
  };

  std::span<const Field> fields = {};
  const Shape* each = nullptr;  ///< Of a list, or a map whose keys are names: what stands in it.
  bool is_closed = false;       ///< It has no other fields. A policy or a record may have.
};

/// Whether `shape`, which may be null, has a field or a name for `key`.
bool knows(const Shape* shape, std::string_view key);
/// The shape of that field, or of that name's value; null where nothing is known of it.
const Shape* shape_below(const Shape* shape, std::string_view key);

/// What is expected of a field that there is not. `shape` may be null.
std::optional<FormatProblem> check_expected(const policy::Node& expected, const Shape* shape,
                                            const std::string& path);

extern const Shape decision_shape;
extern const Shape decisions_shape;  ///< Of allow_many: decisions, or errors.
extern const Shape estimate_shape;
extern const Shape margin_shape;
extern const Shape measured_margin_shape;
extern const Shape load_report_shape;

// Records, with what scenarios add to them. spec: state.md
extern const Shape customer_shape;
extern const Shape customers_shape;  ///< By ID: snapshots, and states.
extern const Shape export_shape;
extern const Shape meter_shape;
extern const Shape limit_shape;
extern const Shape cap_shape;

// What a policy says, under its name where it is read alone. spec: policy.md
extern const Shape entitlement_shape;
extern const Shape plan_shape;
extern const Shape credit_shape;
extern const Shape policy_shape;  ///< The whole document.

extern const Shape event_shape;  ///< Every field of any payload, and its `type`. spec: events.md

}  // namespace limitr::call
