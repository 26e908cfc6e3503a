// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <limitr/json.h>
#include "call/shapes.h"
#include "policy/document.h"

// What a scenario expects, held against what happened.
namespace limitr::scenario {

/// The first place where what happened is not what was expected; both sides as people read them.
struct Mismatch {
  std::string path;  ///< Inside the expectation: events[0].meter.value
  std::string expected;
  std::string got;

  bool operator==(const Mismatch&) const = default;
};

/// Compares on the fields that are given. Numbers agree within 1e-9, relative or absolute, times
/// exactly, and may be expected as ISO dates. Lists are complete. Text expected of an object is
/// its ID or name; nothing (null) expected is also met by a field that is not there, if `shape`,
/// which may be null, knows of it: any other is misspelled.
/// `actual` may be null: the field is not there. `path` is where both stand.
std::optional<Mismatch> compare(const policy::Node& expected, const Json* actual,
                                const call::Shape* shape, const std::string& path);

/// Compares the final state: every customer that is expected and no other. The meters, overrides,
/// grants and caps of each are complete where they are given. `actual` is a snapshot, ID -> record.
std::optional<Mismatch> compare_state(const policy::Node& expected, const Json& actual);

/// Gives a snapshot the form in which states are expected: a meter's `held` is the sum of its
/// holds, grants are a list, and caps that expired before `now_ms` are left out.
void prepare_state(Json& snapshot, double now_ms);

/// A node as JSON text, its members in the order in which they were written.
std::string node_text(const policy::Node& node);

/// Whether a field of that name is a moment: compared exactly, and printed as a date.
bool is_moment(std::string_view field);

}  // namespace limitr::scenario
