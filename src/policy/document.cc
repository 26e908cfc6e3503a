// SPDX-License-Identifier: Apache-2.0
#include "policy/document.h"

#include <algorithm>
#include <cmath>

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>
#include <simdjson.h>

#include "base/text_map.h"
#include "policy/document_reader.h"

namespace limitr::policy {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

std::string place(Position at) {
  return at.line == 0 ? std::string() : fmt::format("{}:{}", at.line, at.column);
}

Error too_large(std::string message, Position at) {
  return Error{ErrorCode::document_too_large, std::move(message), place(at)};
}

Error too_many_bytes(const DocumentBounds& bounds) {
  return too_large(fmt::format("the document is larger than {} bytes; raise "
                               "DocumentBounds::max_bytes (`--max-bytes`)",
                               bounds.max_bytes),
                   {});
}

// The later of two members of the same name, or null.
const Node::Member* duplicate_in(const Node::Mapping& members) {
  constexpr std::size_t few = 12;
  if (members.size() <= few) {
    for (std::size_t i = 1; i < members.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (members[i].key == members[j].key) return &members[i];
      }
    }
    return nullptr;
  }
  absl::flat_hash_set<std::string_view, TextHash, TextEqual> seen;
  seen.reserve(members.size());
  for (const Node::Member& member : members) {
    if (!seen.insert(member.key).second) return &member;
  }
  return nullptr;
}

// Copies a JSON value into the tree. Recurses no deeper than the builder lets it.
class JsonCopier {
public:
  explicit JsonCopier(const DocumentBounds& bounds) : bounds_(bounds), tree_(bounds) {}

  Result<Node> copy(const Json& json) {
    if (!value(json)) return tree_.error();
    return tree_.take();
  }

private:
  bool value(const Json& json) {
    switch (json.type()) {
      case Json::value_t::null: return tree_.add(Node{});
      case Json::value_t::boolean: return tree_.add(Node{json.get<bool>()});
      case Json::value_t::number_integer:
      case Json::value_t::number_unsigned: return tree_.add(Node{json.get<double>()});
      case Json::value_t::number_float: {
        const auto number = json.get<double>();
        if (!std::isfinite(number)) return tree_.fail(not_finite({}, fmt::format("{}", number)));
        return tree_.add(Node{number});
      }
      case Json::value_t::string: {
        const auto& text = json.get_ref<const std::string&>();
        return takes(text) && tree_.add(Node{text});
      }
      case Json::value_t::array: return sequence(json);
      case Json::value_t::object: return mapping(json);
      default: return tree_.fail(syntax_error({}, "binary data has no place in a document"));
    }
  }

  bool sequence(const Json& json) {
    if (!tree_.open_sequence({})) return false;
    for (const Json& element : json) {
      if (!value(element)) return false;
    }
    return tree_.close();
  }

  bool mapping(const Json& json) {
    if (!tree_.open_mapping({})) return false;
    for (const auto& [name, member] : json.items()) {
      if (!takes(name) || !tree_.key(name, {}) || !value(member)) return false;
    }
    return tree_.close();
  }

  bool takes(const std::string& text) {
    bytes_ += text.size();
    if (bytes_ > bounds_.max_bytes) return tree_.fail(too_many_bytes(bounds_));
    if (simdjson::validate_utf8(text.data(), text.size())) return true;
    return tree_.fail(syntax_error({}, "the document is not valid UTF-8"));
  }

  const DocumentBounds& bounds_;
  TreeBuilder tree_;
  std::size_t bytes_ = 0;
};

}  // namespace

std::string shown(std::string_view text) {
  constexpr std::size_t longest = 120;
  if (text.size() <= longest) return std::string(text);
  std::size_t end = longest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "...";
}

Error syntax_error(Position at, std::string message) {
  return Error{ErrorCode::policy_invalid, std::move(message), place(at)};
}

Error too_deep(const DocumentBounds& bounds, Position at) {
  return too_large(fmt::format("the document nests deeper than {} levels; raise "
                               "DocumentBounds::max_depth (`--max-depth`)",
                               bounds.max_depth),
                   at);
}

Error too_many_nodes(const DocumentBounds& bounds, Position at) {
  return too_large(fmt::format("the document has more than {} nodes; raise "
                               "DocumentBounds::max_nodes (`--max-nodes`)",
                               bounds.max_nodes),
                   at);
}

Error not_finite(Position at, std::string_view written) {
  return syntax_error(at, fmt::format("`{}` is not a finite number", shown(written)));
}

bool TreeBuilder::fail(Error error) {
  error_ = std::move(error);
  return false;
}

bool TreeBuilder::count(std::size_t nodes, Position at) {
  if (nodes > bounds_.max_nodes - std::min(nodes_, bounds_.max_nodes)) {
    return fail(too_many_nodes(bounds_, at));
  }
  nodes_ += nodes;
  return true;
}

bool TreeBuilder::key(std::string name, Position at) {
  std::get<Node::Mapping>(open_.back().node->data).push_back({std::move(name), at, Node{}});
  open_.back().expects_key = false;
  return true;
}

Node& TreeBuilder::place(Node node) {
  if (open_.empty()) return root_ = std::move(node);
  Open& parent = open_.back();
  if (auto* members = std::get_if<Node::Mapping>(&parent.node->data)) {
    parent.expects_key = true;
    return members->back().value = std::move(node);
  }
  return std::get<Node::Sequence>(parent.node->data).emplace_back(std::move(node));
}

bool TreeBuilder::add(Node node) {
  if (!count(1, node.position)) return false;
  place(std::move(node));
  return true;
}

bool TreeBuilder::open(Node node) {
  if (open_.size() >= bounds_.max_depth) return fail(too_deep(bounds_, node.position));
  if (!count(1, node.position)) return false;
  Node& placed = place(std::move(node));
  open_.push_back({&placed, placed.as_mapping() != nullptr});
  return true;
}

bool TreeBuilder::close() {
  const Node* node = open_.back().node;
  open_.pop_back();
  const Node::Mapping* members = node->as_mapping();
  const Node::Member* duplicate = members == nullptr ? nullptr : duplicate_in(*members);
  if (duplicate == nullptr) return true;
  return fail(syntax_error(duplicate->key_position,
                           fmt::format("the key `{}` is there twice", shown(duplicate->key))));
}

std::vector<std::uint32_t> TreeBuilder::next_path() const {
  std::vector<std::uint32_t> path;
  path.reserve(open_.size());
  for (const Open& open : open_) {
    const Node::Mapping* members = open.node->as_mapping();
    const std::size_t size = members ? members->size() : open.node->as_sequence()->size();
    // The member that comes next has its key already; so has every open one its place.
    const bool is_there = members != nullptr || open.node != open_.back().node;
    path.push_back(static_cast<std::uint32_t>(is_there ? size - 1 : size));
  }
  return path;
}

const Node& TreeBuilder::at(const std::vector<std::uint32_t>& path) const {
  const Node* node = &root_;
  for (const std::uint32_t index : path) {
    const Node::Mapping* members = node->as_mapping();
    node = members ? &(*members)[index].value : &(*node->as_sequence())[index];
  }
  return *node;
}

const Node* Node::find(std::string_view key) const {
  const Mapping* members = as_mapping();
  if (members == nullptr) return nullptr;
  for (const Member& member : *members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

std::string_view Node::kind_name() const {
  if (as_mapping()) return "a mapping";
  if (as_sequence()) return "a list";
  if (as_text()) return "text";
  if (as_number()) return "a number";
  return as_bool() ? "true or false" : "nothing";
}

Result<Node> parse_document(std::string_view text, Format format, const DocumentBounds& bounds) {
  // A text without a byte may point nowhere, which libyaml does not take.
  if (text.empty()) text = "";
  if (text.size() > bounds.max_bytes) return too_many_bytes(bounds);
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    return syntax_error({}, "the document is not valid UTF-8");
  }
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  switch (format) {
    case Format::yaml: return parse_yaml(text, bounds);
    case Format::json: return parse_json(text, bounds);
    case Format::toml: return parse_toml(text, bounds);
  }
  return syntax_error({}, "unknown format");
}

Result<Node> to_node(const Json& json, const DocumentBounds& bounds) {
  return JsonCopier(bounds).copy(json);
}

Json to_json(const Node& node) {
  if (const auto* members = node.as_mapping()) {
    Json object = Json::object();
    for (const Node::Member& member : *members) object.emplace(member.key, to_json(member.value));
    return object;
  }
  if (const auto* elements = node.as_sequence()) {
    Json::array_t array;
    array.reserve(elements->size());
    for (const Node& element : *elements) array.push_back(to_json(element));
    return array;
  }
  if (const auto* text = node.as_text()) return *text;
  if (const auto* flag = node.as_bool()) return *flag;
  if (const auto* number = node.as_number()) {
    constexpr double exact = 9007199254740992;  // 2^53: below it every whole number is exact.
    const bool whole = std::fabs(*number) < exact && *number == std::trunc(*number);
    if (whole && !(*number == 0 && std::signbit(*number)))
      return static_cast<std::int64_t>(*number);
    return *number;
  }
  return nullptr;
}

std::optional<Format> format_of(std::string_view file_name) {
  if (file_name.ends_with(".yaml") || file_name.ends_with(".yml")) return Format::yaml;
  if (file_name.ends_with(".json")) return Format::json;
  if (file_name.ends_with(".toml")) return Format::toml;
  return std::nullopt;
}

}  // namespace limitr::policy
