// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/policy.h>
#include <limitr/result.h>
#include <limitr/time.h>
#include "call/calls.h"
#include "policy/document.h"

namespace limitr::scenario {

/// One call of a scenario and what it should do.
struct Step {
  std::size_t number = 0;                            ///< From 1.
  policy::Position position;                         ///< In the file.
  Timestamp at;                                      ///< The engine's clock for this call.
  const call::CallKind* call = nullptr;              ///< One of the engine's, or `restart`.
  const policy::Node::Mapping* arguments = nullptr;  ///< Null: none.
  const policy::Node* expect = nullptr;              ///< Null: not compared.
  const policy::Node* events = nullptr;              ///< Likewise.
  std::string error;                                 ///< Part of an error's message, or empty.
  std::string why;                                   ///< What the step shows, or empty.
};

/// A policy, the calls made on it, and what they should do.
struct Scenario {
  std::filesystem::path file;
  std::string name;
  std::size_t line = 0;                     ///< In a file of one scenario per line, else 0.
  DocumentBounds bounds;                    ///< Of its policies, where `options` name none.
  const policy::Node* policy = nullptr;     ///< A document, or the path of one.
  const policy::Node* customers = nullptr;  ///< A snapshot to start from, or null.
  const policy::Node* options = nullptr;    ///< Of the engine, or null.
  const policy::Node* host = nullptr;       ///< Host functions by name, or null.
  const policy::Node* state = nullptr;      ///< Every customer at the end, or null.
  std::vector<Step> steps;

  /// Owns what the pointers above point into.
  std::shared_ptr<const policy::Node> document;
};

/// What a file held.
struct ReadFile {
  std::vector<Scenario> scenarios;
  std::vector<Error> problems;  ///< Of scenarios that cannot be read; `where` is the place.
};

/// Reads a scenario file: YAML or JSON (one scenario or a list of them), or NDJSON (one a line), by
/// the file's ending. What the format does not know (a key, a call, an argument) is a problem with
/// its place, found before anything is played. `bounds` are those of the policies and, but for its
/// size, of the file itself.
ReadFile read_scenarios(const std::filesystem::path& file, const DocumentBounds& bounds = {});

/// The same for text that is already here: `file` gives the format, names and relative paths.
ReadFile read_scenarios(std::string_view text, const std::filesystem::path& file,
                        const DocumentBounds& bounds = {});

/// The scenario files that a path stands for: itself, or every one below it, sorted.
/// Errors: io_failed.
Result<std::vector<std::filesystem::path>> scenario_files(const std::filesystem::path& path);

/// A call of the engine, or `restart`; null if there is none of that name.
const call::CallKind* find_call(std::string_view name);

/// "allow(id: ann, entitlement: chat, value: 7)"
std::string call_text(const Step& step);

}  // namespace limitr::scenario
