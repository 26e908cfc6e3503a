// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/policy.h>
#include "base/quantity.h"
#include "policy/document.h"

// Reading typed fields out of a document's tree, and noting what is wrong with them.
namespace limitr::policy {

/// Where a value stands: a chain up to the root, so that a path is only spelled out for an issue.
struct Place {
  static constexpr std::uint32_t absent = UINT32_MAX;

  const Place* parent = nullptr;
  std::string_view key = {};     ///< Empty in a list.
  std::uint32_t index = absent;  ///< Among its siblings; absent: a field that is not there.
  const Node* node = nullptr;    ///< Null where it is absent.
  Position position = {};

  /// The member or the element of that index.
  Place member(const Node::Member& member, std::size_t position_in_order) const;
  Place element(const Node& element, std::size_t position_in_order) const;
  /// policy.credits.tokens.tiers[2].price
  std::string path() const;
  /// The same, at its key instead of its value. REQUIRES: it is a member of a mapping.
  Place at_key() const;
};

/// Collects issues. Rules can be switched off: what merely breaks one is then no issue, and the
/// reader goes on with a default.
class Issues {
public:
  explicit Issues(bool rules) : rules_(rules) {}

  /// The document cannot be compiled as it stands.
  void wrong(const Place& place, std::string message) {
    note(place, Issue::Severity::error, std::move(message));
  }
  /// The document breaks a rule.
  void breaks_rule(const Place& place, std::string message) {
    if (rules_) note(place, Issue::Severity::error, std::move(message));
  }
  void warn(const Place& place, std::string message) {
    note(place, Issue::Severity::warning, std::move(message));
  }
  bool has_errors() const { return has_errors_; }
  /// All of them, in the order of the document.
  std::vector<Issue> take();

private:
  struct Found {
    std::vector<std::uint32_t> order;
    Issue issue;
  };

  void note(const Place& place, Issue::Severity severity, std::string message);

  bool rules_;
  bool has_errors_ = false;
  std::vector<Found> found_;
  std::size_t unlisted_ = 0;
};

/// The fields of one mapping. A field that is null counts as absent; one of the wrong type is
/// noted as an issue and counts as absent too. Unknown fields are nobody's business, unless they
/// look like a slip of the pen.
class Fields {
public:
  /// REQUIRES: `place` stands for a mapping, and outlives this.
  Fields(const Place& place, Issues& issues) : place_(place), issues_(issues) {}

  const Place& place() const { return place_; }
  Issues& issues() const { return issues_; }

  std::optional<Place> find(std::string_view key) const;
  /// Where the field is, or would be.
  Place at(std::string_view key) const;

  std::optional<std::string> text(std::string_view key) const;
  std::string text_or(std::string_view key, std::string_view other) const;
  bool flag_or(std::string_view key, bool other) const;
  std::optional<double> number(std::string_view key) const;
  /// A number or a quantity, in `unit`, or as written where there is none. `what` it is a value of
  /// is for the message.
  std::optional<double> amount(std::string_view key, std::optional<Unit> unit,
                               std::string_view what) const;
  std::optional<Millis> length(std::string_view key) const;
  std::vector<std::string> texts(std::string_view key) const;
  /// The field, where it is a mapping.
  std::optional<Place> mapping(std::string_view key) const;
  std::optional<Place> list(std::string_view key) const;

  void wrong_type(const Place& field, std::string_view expected) const;
  /// Warns of fields that nobody asked for and that look like one that was asked for and is not
  /// there. Comes when all others were read: what is asked for is what is known.
  void warn_of_typos() const;

private:
  const Place& place_;
  Issues& issues_;
  mutable std::vector<std::string_view> asked_;  // Literals, all of them.
};

/// Calls `read` with each entry of a mapping of names: the place of one, which is a mapping. An
/// entry without a value stands for one with nothing but defaults. The key `other` is no name.
template <typename Read>
void for_each_entry(const Place& place, Issues& issues, Read read, std::string_view other = {}) {
  static const Node nothing_but_defaults{Node::Mapping(), {}};
  const Node::Mapping& members = *place.node->as_mapping();
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!other.empty() && members[i].key == other) continue;
    Place entry = place.member(members[i], i);
    if (entry.node->is_null()) entry.node = &nothing_but_defaults;
    if (entry.key.empty()) {
      issues.wrong(entry, "a name cannot be empty");
    } else if (entry.node->as_mapping() == nullptr) {
      Fields(place, issues).wrong_type(entry, "a mapping");
    } else {
      read(entry);
    }
  }
}

}  // namespace limitr::policy
