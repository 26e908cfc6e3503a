// SPDX-License-Identifier: Apache-2.0
#include <absl/container/flat_hash_map.h>

#include "base/text_map.h"
#include "policy/document_reader.h"

namespace limitr::policy {
namespace {

bool is_equal(const Node& a, const Node& b);

bool is_equal(const Node::Mapping& a, const Node::Mapping& b) {
  if (a.size() != b.size()) return false;
  absl::flat_hash_map<std::string_view, const Node*, TextHash, TextEqual> others;
  for (const Node::Member& member : b) others.emplace(member.key, &member.value);
  for (const Node::Member& member : a) {
    const auto other = others.find(member.key);
    if (other == others.end() || !is_equal(member.value, *other->second)) return false;
  }
  return true;
}

// Positions do not count, nor does the order of members.
bool is_equal(const Node& a, const Node& b) {
  if (a.data.index() != b.data.index()) return false;
  if (const auto* members = a.as_mapping()) return is_equal(*members, *b.as_mapping());
  const auto* elements = a.as_sequence();
  if (elements == nullptr) {
    if (a.is_null()) return true;
    if (const auto* flag = a.as_bool()) return *flag == *b.as_bool();
    if (const auto* number = a.as_number()) return *number == *b.as_number();
    return *a.as_text() == *b.as_text();
  }
  const Node::Sequence& others = *b.as_sequence();
  if (elements->size() != others.size()) return false;
  for (std::size_t i = 0; i < others.size(); ++i) {
    if (!is_equal((*elements)[i], others[i])) return false;
  }
  return true;
}

class Comparison {
public:
  std::vector<Difference> run(const Node& before, const Node& after) {
    compare({}, before, after);
    return std::move(differences_);
  }

private:
  using Kind = Difference::Kind;
  using ByKey = absl::flat_hash_map<std::string_view, std::size_t, TextHash, TextEqual>;

  static std::string below(const std::string& path, const std::string& key) {
    return path.empty() ? shown(key) : path + '.' + shown(key);
  }
  static ByKey index(const Node::Mapping& members) {
    ByKey index;
    for (std::size_t i = 0; i < members.size(); ++i) index.emplace(members[i].key, i);
    return index;
  }

  void compare(const std::string& path, const Node& before, const Node& after) {
    const Node::Mapping* old_members = before.as_mapping();
    const Node::Mapping* new_members = after.as_mapping();
    if (old_members != nullptr && new_members != nullptr) {
      compare_members(path, *old_members, *new_members);
    } else if (!is_equal(before, after)) {
      differences_.push_back({Kind::changed, path, to_json(before), to_json(after)});
    }
  }

  // In the order of `after`; what is gone comes where it stood in `before`: behind the member
  // that it followed there, if that one is still there.
  void compare_members(const std::string& path, const Node::Mapping& before,
                       const Node::Mapping& after) {
    const ByKey old_index = index(before);
    const ByKey new_index = index(after);
    const auto report_gone = [&](std::size_t from) {
      for (; from < before.size() && !new_index.contains(before[from].key); ++from) {
        const Node::Member& gone = before[from];
        differences_.push_back(
            {Kind::removed, below(path, gone.key), to_json(gone.value), std::nullopt});
      }
    };
    report_gone(0);
    for (const Node::Member& member : after) {
      const auto old = old_index.find(member.key);
      const std::string place = below(path, member.key);
      if (old == old_index.end()) {
        differences_.push_back({Kind::added, place, std::nullopt, to_json(member.value)});
        continue;
      }
      compare(place, before[old->second].value, member.value);
      report_gone(old->second + 1);
    }
  }

  std::vector<Difference> differences_;
};

}  // namespace
}  // namespace limitr::policy

namespace limitr {

Result<std::vector<Difference>> diff_policies(std::string_view before, Format before_format,
                                              std::string_view after, Format after_format,
                                              const DocumentBounds& bounds) {
  const auto old_document = policy::parse_document(before, before_format, bounds);
  if (!old_document.ok()) return old_document.error();
  const auto new_document = policy::parse_document(after, after_format, bounds);
  if (!new_document.ok()) return new_document.error();
  return policy::Comparison().run(*old_document, *new_document);
}

}  // namespace limitr
