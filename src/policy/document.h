// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <limitr/json.h>
#include <limitr/policy.h>
#include <limitr/result.h>

namespace limitr::policy {

/// Where a node begins in its text, counted from 1; 0 where the format does not tell.
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

/// One value of a document, the same whatever format it was written in. Members keep the order
/// and the spelling in which they were written; keys are unique.
struct Node {
  struct Member;
  using Sequence = std::vector<Node>;
  using Mapping = std::vector<Member>;

  std::variant<std::nullptr_t, bool, double, std::string, Sequence, Mapping> data;
  Position position = {};

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(data); }
  const bool* as_bool() const { return std::get_if<bool>(&data); }
  const double* as_number() const { return std::get_if<double>(&data); }
  const std::string* as_text() const { return std::get_if<std::string>(&data); }
  const Sequence* as_sequence() const { return std::get_if<Sequence>(&data); }
  const Mapping* as_mapping() const { return std::get_if<Mapping>(&data); }
  /// The member of that name where this is a mapping that has one, else null.
  const Node* find(std::string_view key) const;
  /// "a mapping", "a list", "text", "a number", "true or false", "nothing": for messages.
  std::string_view kind_name() const;
};

struct Node::Member {
  std::string key;
  Position key_position;
  Node value;
};

/// Reads a document. Bounds are checked while reading, so that a hostile text ends in an error
/// within bounded time and memory: size before anything is parsed; depth, nodes and alias
/// expansion as they grow. Duplicate keys, NaN, infinities, invalid UTF-8, cyclic anchors, more
/// than one YAML document and numbers beyond the range of a double are refused.
/// Errors: document_too_large (names the bound and the option that raises it), policy_invalid
/// (syntax; `where` is "line:column: path", what is known of it), invalid_argument (a bound that is
/// none: beyond DocumentBounds::deepest).
/// Where `flaws` are given, a duplicate key (the first of its mapping) or a number that is none is
/// added to them instead and reading goes on: the tree is then of no use, but all are found.
Result<Node> parse_document(std::string_view text, Format format, const DocumentBounds& bounds,
                            std::vector<Issue>* flaws = nullptr);

/// The same from a JSON value, under the same bounds; `where` is the path.
Result<Node> to_node(const Json& json, const DocumentBounds& bounds);

/// The node as a JSON value.
Json to_json(const Node& node);

/// The node as JSON text, its members in the order in which they were written.
std::string json_text(const Node& node);

/// The format that a file name's ending stands for (.yaml .yml .json .toml), or none.
std::optional<Format> format_of(std::string_view file_name);

}  // namespace limitr::policy
