// SPDX-License-Identifier: Apache-2.0
#include <yaml.h>

#include <algorithm>

#include <charconv>
#include <cmath>
#include <memory>
#include <system_error>

#include <fmt/format.h>

#include "base/text_map.h"
#include "policy/document_reader.h"
#include "policy/document_yaml_count.h"

// libyaml reads the text as a stream of events and looks ahead by one key at most, so the bounds
// hold while reading. Its one weak spot is guarded in front: it compares every %TAG directive
// with all those before it.
namespace limitr::policy {
namespace {

constexpr std::string_view core_tag = "tag:yaml.org,2002:";
constexpr std::size_t most_tag_directives = 64;

Position position_of(const yaml_mark_t& mark) {
  return {static_cast<std::uint32_t>(mark.line + 1), static_cast<std::uint32_t>(mark.column + 1)};
}

std::string_view text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

bool is_any_of(std::string_view text, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

// Plain scalars, by the core schema of YAML 1.2.

bool is_null(std::string_view text) { return is_any_of(text, {"", "~", "null", "Null", "NULL"}); }

std::optional<bool> flag_in(std::string_view text) {
  if (is_any_of(text, {"true", "True", "TRUE"})) return true;
  if (is_any_of(text, {"false", "False", "FALSE"})) return false;
  return std::nullopt;
}

bool is_not_finite(std::string_view text) {
  if (is_any_of(text, {".nan", ".NaN", ".NAN"})) return true;
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  return is_any_of(text, {".inf", ".Inf", ".INF"});
}

std::size_t digits_in(std::string_view text) {
  const auto end =
      std::find_if(text.begin(), text.end(), [](char c) { return c < '0' || c > '9'; });
  return static_cast<std::size_t>(end - text.begin());
}

// [-+]? ( . [0-9]+ | [0-9]+ ( . [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_decimal(std::string_view text) {
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  const std::size_t whole = digits_in(text);
  text.remove_prefix(whole);
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    const std::size_t fraction = digits_in(text);
    if (whole == 0 && fraction == 0) return false;
    text.remove_prefix(fraction);
  } else if (whole == 0) {
    return false;
  }
  if (text.empty()) return true;
  if (text.front() != 'e' && text.front() != 'E') return false;
  text.remove_prefix(1);
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  return !text.empty() && digits_in(text) == text.size();
}

// 0x and 0o; infinite where the number is beyond 64 bits.
std::optional<double> based_number_in(std::string_view text) {
  const int base = text.starts_with("0x") ? 16 : text.starts_with("0o") ? 8 : 0;
  if (base == 0 || text.size() < 3) return std::nullopt;
  std::uint64_t number = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + 2, last, number, base);
  if (end != last || error == std::errc::invalid_argument) return std::nullopt;
  return error == std::errc() ? static_cast<double>(number) : HUGE_VAL;
}

// The number that a plain scalar is; infinite where it is beyond the range of a double.
std::optional<double> number_in(std::string_view text) {
  if (const auto based = based_number_in(text)) return based;
  if (!is_decimal(text)) return std::nullopt;
  if (text.front() == '+') text.remove_prefix(1);
  double number = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  return error == std::errc() && end == last ? number : HUGE_VAL;
}

// Something that an alias can name.
struct Anchor {
  std::vector<std::uint32_t> path;  // To a collection.
  std::optional<Node> scalar;       // Or else the scalar itself.
  bool open = false;                // Still being written: an alias to it would never end.
};

// What a tree costs to copy.
struct Extent {
  std::size_t nodes = 0;
  std::size_t bytes = 0;
  std::size_t depth = 0;
};

class Reader {
public:
  Reader(std::string_view text, const DocumentBounds& bounds, std::vector<Issue>* flaws)
      : text_(text), bounds_(bounds), tree_(bounds, flaws) {
    yaml_parser_initialize(&parser_);
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    yaml_parser_set_input_string(&parser_, bytes, text.size());
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
  }
  ~Reader() { yaml_parser_delete(&parser_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Result<Node> read() {
    for (bool more = true; more;) {
      yaml_event_t event;
      if (yaml_parser_parse(&parser_, &event) == 0) return parser_error();
      more = event.type != YAML_STREAM_END_EVENT;
      const bool taken = take(event);
      yaml_event_delete(&event);
      if (!taken) return tree_.error();
    }
    if (added_nodes_ > bounds_.max_alias_factor * (tree_.nodes() - added_nodes_)) {
      return aliases_too_large({});
    }
    return tree_.take();
  }

private:
  Error parser_error() const {
    if (parser_.error == YAML_MEMORY_ERROR) {
      return Error{ErrorCode::document_too_large, "out of memory while reading the document"};
    }
    const char* problem = parser_.problem == nullptr ? "unknown problem" : parser_.problem;
    if (parser_.error == YAML_READER_ERROR) {
      return syntax_error(position_in(text_, parser_.problem_offset), problem);
    }
    const std::string context =
        parser_.context == nullptr ? std::string() : fmt::format(" {}", parser_.context);
    return syntax_error(position_of(parser_.problem_mark), problem + context);
  }

  bool take(const yaml_event_t& event) {
    const Position at = position_of(event.start_mark);
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        if (documents_++ == 0) return true;
        return fail(at, "the text holds more than one YAML document");
      case YAML_SCALAR_EVENT: return scalar(event.data.scalar, at);
      case YAML_ALIAS_EVENT: return alias(text_of(event.data.alias.anchor), at);
      case YAML_SEQUENCE_START_EVENT: {
        const auto& start = event.data.sequence_start;
        return open(text_of(start.anchor), text_of(start.tag), "seq", at);
      }
      case YAML_MAPPING_START_EVENT: {
        const auto& start = event.data.mapping_start;
        return open(text_of(start.anchor), text_of(start.tag), "map", at);
      }
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        if (open_anchors_.back() != nullptr) open_anchors_.back()->open = false;
        open_anchors_.pop_back();
        return tree_.close();
      default: return true;
    }
  }

  bool fail(Position at, std::string message) {
    return tree_.fail(syntax_error(at, std::move(message), tree_.path()));
  }

  bool open(std::string_view anchor, std::string_view tag, std::string_view kind, Position at) {
    if (tree_.expects_key()) return fail(at, "a key must be text, not a list or a mapping");
    if (!tag.empty() && tag != "!" && tag != fmt::format("{}{}", core_tag, kind)) {
      return fail(at, fmt::format("the tag `{}` does not fit here", shown(tag)));
    }
    std::shared_ptr<Anchor> made;
    if (!anchor.empty()) {
      made = std::make_shared<Anchor>(Anchor{tree_.next_path(), std::nullopt, true});
      anchors_[anchor] = made;
    }
    open_anchors_.push_back(std::move(made));
    return kind == "map" ? tree_.open_mapping(at) : tree_.open_sequence(at);
  }

  using Scalar = decltype(yaml_event_t::data.scalar);

  bool scalar(const Scalar& written, Position at) {
    const std::string_view text(reinterpret_cast<const char*>(written.value), written.length);
    const bool plain = written.style == YAML_PLAIN_SCALAR_STYLE;
    if (tree_.expects_key()) {
      if (plain && text == "<<") return fail(at, "merge keys (`<<`) are not supported");
      if (written.anchor != nullptr) remember(written.anchor, Node{std::string(text), at});
      return tree_.key(std::string(text), at);
    }
    auto node = typed(text, plain, text_of(written.tag), at);
    if (!node) return false;
    if (written.anchor != nullptr) remember(written.anchor, *node);
    return tree_.add(*std::move(node));
  }

  void remember(const yaml_char_t* anchor, Node scalar) {
    anchors_[text_of(anchor)] = std::make_shared<Anchor>(Anchor{{}, std::move(scalar), false});
  }

  // None where the document is refused.
  std::optional<Node> typed(std::string_view text, bool plain, std::string_view tag, Position at) {
    const auto refused = [&](std::string message) {
      fail(at, std::move(message));
      return std::nullopt;
    };
    std::string_view type = tag;
    if (type.starts_with(core_tag)) type.remove_prefix(core_tag.size());
    const bool any = tag.empty() && plain;
    if ((tag.empty() && !plain) || tag == "!" || type == "str") return Node{std::string(text), at};
    if (!any && !is_any_of(type, {"null", "bool", "int", "float"})) {
      return refused(fmt::format("the tag `{}` does not fit here", shown(tag)));
    }
    if ((any || type == "null") && is_null(text)) return Node{nullptr, at};
    if (any || type == "bool") {
      if (const auto flag = flag_in(text)) return Node{*flag, at};
    }
    if (any || type == "int" || type == "float") {
      if (is_not_finite(text)) {
        if (!tree_.flaw(at, not_finite(text), tree_.path())) return std::nullopt;
        return Node{nullptr, at};
      }
      if (const auto number = number_in(text)) {
        if (std::isfinite(*number)) return Node{*number, at};
        return refused(fmt::format("`{}` is beyond the range of a double", shown(text)));
      }
    }
    if (any) return Node{std::string(text), at};
    return refused(fmt::format("`{}` does not fit its tag `{}`", shown(text), shown(tag)));
  }

  bool alias(std::string_view name, Position at) {
    const auto found = anchors_.find(name);
    if (found == anchors_.end()) {
      return fail(at, fmt::format("the alias `*{}` names no anchor before it", shown(name)));
    }
    const Anchor& anchor = *found->second;
    if (anchor.open) {
      return fail(at, fmt::format("the anchor `&{}` contains itself", shown(name)));
    }
    const Node& source = anchor.scalar ? *anchor.scalar : tree_.at(anchor.path);
    if (tree_.expects_key()) {
      const std::string* text = source.as_text();
      if (text == nullptr) return fail(at, "a key must be text");
      return charge({0, text->size(), 0}, at) && tree_.key(*text, at);
    }
    Extent extent;
    if (!measure(source, tree_.depth(), extent, at) || !charge(extent, at)) return false;
    // add() counts the root of the copy.
    if (!tree_.count(extent.nodes - 1, at)) return false;
    return tree_.add(Node(source));
  }

  // Adds up what a copy of `source` below `depth` costs; stops where it passes a bound.
  bool measure(const Node& source, std::size_t depth, Extent& extent, Position at) {
    if (++extent.nodes > bounds_.max_nodes) return tree_.fail(too_many_nodes(bounds_, at));
    if (const auto* text = source.as_text()) extent.bytes += text->size();
    const auto* members = source.as_mapping();
    const auto* elements = source.as_sequence();
    if (members == nullptr && elements == nullptr) return true;
    if (depth >= bounds_.max_depth) return tree_.fail(too_deep(bounds_, at));
    if (elements != nullptr) {
      for (const Node& element : *elements) {
        if (!measure(element, depth + 1, extent, at)) return false;
      }
      return true;
    }
    for (const Node::Member& member : *members) {
      extent.bytes += member.key.size();
      if (!measure(member.value, depth + 1, extent, at)) return false;
    }
    return true;
  }

  // Whether aliases may add that much. Each byte to come may still bring a node, so what the
  // nodes written allow is only known at the end; more than that is refused at once.
  bool charge(const Extent& extent, Position at) {
    added_nodes_ += extent.nodes;
    added_bytes_ += extent.bytes;
    const std::size_t written =
        tree_.nodes() - std::min(added_nodes_ - extent.nodes, tree_.nodes());
    const std::size_t to_come = text_.size() - std::min(at_byte(), text_.size());
    const bool nodes_fit = added_nodes_ <= bounds_.max_alias_factor * (written + to_come);
    const bool bytes_fit = added_bytes_ <= bounds_.max_alias_factor * text_.size();
    return (nodes_fit && bytes_fit) || tree_.fail(aliases_too_large(at));
  }

  std::size_t at_byte() const { return parser_.mark.index; }

  Error aliases_too_large(Position at) const {
    return Error{ErrorCode::document_too_large,
                 fmt::format("aliases add more than {} times what is written; raise "
                             "DocumentBounds::max_alias_factor (`--max-alias-factor`)",
                             bounds_.max_alias_factor),
                 at.line == 0 ? std::string() : fmt::format("{}:{}", at.line, at.column)};
  }

  std::string_view text_;
  const DocumentBounds& bounds_;
  TreeBuilder tree_;
  yaml_parser_t parser_;
  std::size_t documents_ = 0;
  TextMap<std::shared_ptr<Anchor>> anchors_;
  std::vector<std::shared_ptr<Anchor>> open_anchors_;  // Of each open collection; null: none.
  std::size_t added_nodes_ = 0;                        // By aliases, like added_bytes_.
  std::size_t added_bytes_ = 0;
};

bool has_too_many_tag_directives(std::string_view text) {
  constexpr std::string_view directive = "%TAG";
  std::size_t count = 0;
  for (auto at = text.find(directive); at != std::string_view::npos;) {
    if (++count > most_tag_directives) return true;
    at = text.find(directive, at + directive.size());
  }
  return false;
}

}  // namespace

Result<Node> parse_yaml(std::string_view text, const DocumentBounds& bounds,
                        std::vector<Issue>* flaws) {
  if (has_too_many_tag_directives(text)) {
    return syntax_error(
        {}, fmt::format("the document has more than {} %TAG directives", most_tag_directives));
  }
  // libyaml takes long for what is refused in the end. With a small bound it comes to it soon, and
  // knows the place better.
  constexpr std::size_t many_nodes = 20'000;
  if (bounds.max_nodes >= many_nodes) {
    if (const auto excess = find_yaml_excess(text, bounds.max_nodes)) {
      return too_many_nodes(bounds, position_in(text, *excess));
    }
  }
  return Reader(text, bounds, flaws).read();
}

}  // namespace limitr::policy
