// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/document.h"

// What the readers of the formats share. Each gets text that is valid UTF-8, within max_bytes and
// without a byte order mark.
namespace limitr::policy {

Result<Node> parse_yaml(std::string_view text, const DocumentBounds& bounds,
                        std::vector<Issue>* flaws);
Result<Node> parse_json(std::string_view text, const DocumentBounds& bounds,
                        std::vector<Issue>* flaws);
Result<Node> parse_toml(std::string_view text, const DocumentBounds& bounds,
                        std::vector<Issue>* flaws);

/// The text as messages quote it: whole where it is short enough to be read.
std::string shown(std::string_view text);

/// The document does not follow its format, or says what no policy can hold.
Error syntax_error(Position at, std::string message, std::string_view path = {});
Error too_deep(const DocumentBounds& bounds, Position at);
Error too_many_nodes(const DocumentBounds& bounds, Position at);
/// The line and the column, in characters, of a byte of a text.
Position position_in(std::string_view text, std::size_t byte);
/// "`nan` is not a finite number"
std::string not_finite(std::string_view written);

/// Puts a tree together while its text is read, and refuses it as soon as it passes a bound.
/// Calls return false where the document is refused; error() says why, and reading must end.
class TreeBuilder {
public:
  /// `flaws` as for parse_document(); null: the first one refuses the document.
  TreeBuilder(const DocumentBounds& bounds, std::vector<Issue>* flaws)
      : bounds_(bounds), flaws_(flaws) {}

  /// The key of the member whose value comes next. REQUIRES: expects_key().
  bool key(std::string name, Position at);
  /// A value: a scalar, or a whole tree whose nodes were counted by count().
  bool add(Node node);
  bool open_sequence(Position at) { return open(Node{Node::Sequence(), at}); }
  bool open_mapping(Position at) { return open(Node{Node::Mapping(), at}); }
  /// Ends the innermost collection. Duplicate keys are found here.
  bool close();

  /// Counts `nodes` toward the bound.
  bool count(std::size_t nodes, Position at);
  bool fail(Error error);
  /// What stands at the path is no part of any policy, though its format is right.
  bool flaw(Position at, std::string message, std::string_view path);

  bool expects_key() const { return !open_.empty() && open_.back().expects_key; }
  std::size_t depth() const { return open_.size(); }
  std::size_t nodes() const { return nodes_; }
  /// policy.credits.tokens.tiers[2]: of the value that comes next, or of the mapping whose key
  /// does.
  std::string path() const;
  /// Where the value that comes next will stand: its index in each collection from the root on.
  std::vector<std::uint32_t> next_path() const;
  /// The node at such a path. REQUIRES: it is there.
  const Node& at(const std::vector<std::uint32_t>& path) const;

  const Error& error() const { return *error_; }
  /// The finished tree. REQUIRES: everything is closed.
  Node take() { return std::move(root_); }

private:
  // INVARIANT: an open collection is the last one in its parent, which therefore does not grow
  // and does not move it.
  struct Open {
    Node* node;
    bool expects_key;
  };

  bool open(Node node);
  Node& place(Node node);

  const DocumentBounds& bounds_;
  std::vector<Issue>* flaws_;
  Node root_;
  std::vector<Open> open_;
  std::size_t nodes_ = 0;
  std::optional<Error> error_;
};

}  // namespace limitr::policy
