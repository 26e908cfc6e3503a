// SPDX-License-Identifier: Apache-2.0
#include "policy/document.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>
#include <simdjson.h>

#include "base/json_writer.h"
#include "base/text_map.h"
#include "policy/document_reader.h"

namespace limitr::policy {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

// More flaws than anyone reads.
constexpr std::size_t most_flaws = 1000;

std::string place(Position at, std::string_view path = {}) {
  if (at.line == 0) return std::string(path);
  return fmt::format("{}:{}{}{}", at.line, at.column, path.empty() ? "" : ": ", path);
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

bool is_valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

// The bytes of the character that the text begins with; 0 where it begins with none.
std::size_t first_character(std::string_view text) {
  for (std::size_t size = 1; size <= std::min<std::size_t>(4, text.size()); ++size) {
    if (is_valid_utf8(text.substr(0, size))) return size;
  }
  return 0;
}

// How much of the text is UTF-8. Looks at each byte a few times at most, however it is made.
std::size_t utf8_prefix(std::string_view text) {
  std::size_t good = 0;
  for (std::size_t step = std::bit_floor(text.size()); step >= 16; step /= 2) {
    std::size_t end = std::min(good + step, text.size());
    // Not in the middle of a character, which has up to three bytes behind its first.
    for (int i = 0; i < 3 && end < text.size() && is_continuation(text[end]); ++i) --end;
    if (is_valid_utf8(text.substr(good, end - good))) good = end;
  }
  while (const std::size_t size = first_character(text.substr(good))) good += size;
  return good;
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

std::optional<Error> bounds_error(const DocumentBounds& bounds) {
  if (bounds.max_depth <= DocumentBounds::deepest) return std::nullopt;
  return Error{ErrorCode::invalid_argument,
               fmt::format("DocumentBounds::max_depth is {}, and can be {} at most",
                           bounds.max_depth, DocumentBounds::deepest)};
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
  explicit JsonCopier(const DocumentBounds& bounds) : bounds_(bounds), tree_(bounds, nullptr) {}

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
        if (!std::isfinite(number)) return refused(not_finite(fmt::format("{}", number)));
        return tree_.add(Node{number});
      }
      case Json::value_t::string: {
        const auto& text = json.get_ref<const std::string&>();
        return takes(text) && tree_.add(Node{text});
      }
      case Json::value_t::array: return sequence(json);
      case Json::value_t::object: return mapping(json);
      default: return refused("binary data has no place in a document");
    }
  }

  bool refused(std::string message) {
    return tree_.fail(syntax_error({}, std::move(message), tree_.path()));
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
    return is_valid_utf8(text) || refused("the document is not valid UTF-8");
  }

  const DocumentBounds& bounds_;
  TreeBuilder tree_;
  std::size_t bytes_ = 0;
};

void write(JsonWriter& out, const Node& node) {
  if (const auto* sequence = node.as_sequence()) {
    out.begin_array();
    for (const Node& item : *sequence) write(out, item);
    out.end_array();
  } else if (const auto* mapping = node.as_mapping()) {
    out.begin_object();
    for (const Node::Member& member : *mapping) write(out.key(member.key), member.value);
    out.end_object();
  } else if (const auto* text = node.as_text()) {
    out.value(*text);
  } else if (const auto* number = node.as_number()) {
    out.value(*number);
  } else if (const auto* flag = node.as_bool()) {
    out.value(*flag);
  } else {
    out.null();
  }
}

}  // namespace

Position position_in(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, byte);
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const std::string_view line = before.substr(before.rfind('\n') + 1);
  const auto inside = std::count_if(line.begin(), line.end(), is_continuation);
  return {static_cast<std::uint32_t>(lines + 1),
          static_cast<std::uint32_t>(line.size() - static_cast<std::size_t>(inside) + 1)};
}

std::string shown(std::string_view text) {
  constexpr std::size_t longest = 120;
  if (text.size() <= longest) return std::string(text);
  std::size_t end = longest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "...";
}

Error syntax_error(Position at, std::string message, std::string_view path) {
  return Error{ErrorCode::policy_invalid, std::move(message), place(at, path)};
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

std::string not_finite(std::string_view written) {
  return fmt::format("`{}` is not a finite number", shown(written));
}

bool TreeBuilder::fail(Error error) {
  error_ = std::move(error);
  return false;
}

bool TreeBuilder::flaw(Position at, std::string message, std::string_view path) {
  if (flaws_ == nullptr || flaws_->size() == most_flaws) {
    return fail(syntax_error(at, std::move(message), path));
  }
  flaws_->push_back(
      {Issue::Severity::error, std::string(path), std::move(message), at.line, at.column});
  return true;
}

std::string TreeBuilder::path() const {
  std::string path;
  for (const Open& open : open_) {
    const bool is_innermost = open.node == open_.back().node;
    if (const Node::Mapping* members = open.node->as_mapping()) {
      if (is_innermost && open.expects_key) break;
      if (!path.empty()) path += '.';
      path += shown(members->back().key);
    } else {
      const std::size_t size = open.node->as_sequence()->size();
      path += fmt::format("[{}]", is_innermost ? size : size - 1);
    }
  }
  return path;
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
  const Node::Mapping* members = open_.back().node->as_mapping();
  const Node::Member* duplicate = members == nullptr ? nullptr : duplicate_in(*members);
  bool goes_on = true;
  if (duplicate != nullptr) {
    std::string path = this->path();
    if (!path.empty()) path += '.';
    goes_on = flaw(duplicate->key_position,
                   fmt::format("the key `{}` is there twice", shown(duplicate->key)),
                   path + shown(duplicate->key));
  }
  open_.pop_back();
  return goes_on;
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

Result<Node> parse_document(std::string_view text, Format format, const DocumentBounds& bounds,
                            std::vector<Issue>* flaws) {
  // A text without a byte may point nowhere, which libyaml does not take.
  if (text.empty()) text = "";
  if (auto wrong = bounds_error(bounds)) return *std::move(wrong);
  if (text.size() > bounds.max_bytes) return too_many_bytes(bounds);
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  if (!is_valid_utf8(text)) {
    return syntax_error(position_in(text, utf8_prefix(text)), "the document is not valid UTF-8");
  }
  switch (format) {
    case Format::yaml: return parse_yaml(text, bounds, flaws);
    case Format::json: return parse_json(text, bounds, flaws);
    case Format::toml: return parse_toml(text, bounds, flaws);
  }
  return syntax_error({}, "unknown format");
}

Result<Node> to_node(const Json& json, const DocumentBounds& bounds) {
  if (auto wrong = bounds_error(bounds)) return *std::move(wrong);
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

std::string json_text(const Node& node) {
  std::string text;
  JsonWriter out(text);
  write(out, node);
  return text;
}

std::optional<Format> format_of(std::string_view file_name) {
  if (file_name.ends_with(".yaml") || file_name.ends_with(".yml")) return Format::yaml;
  if (file_name.ends_with(".json")) return Format::json;
  if (file_name.ends_with(".toml")) return Format::toml;
  return std::nullopt;
}

}  // namespace limitr::policy
