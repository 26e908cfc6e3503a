// SPDX-License-Identifier: Apache-2.0
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include <fmt/format.h>

#include "policy/document_reader.h"

// toml++ bounds neither the tables that dotted keys nest nor its memory, so a scan in front holds
// the text to the bounds before it is parsed.
namespace limitr::policy {
namespace {

// Reads just enough of the text to know how deep it nests and how many values it has. What is no
// TOML it leaves to the parser.
class Scan {
public:
  Scan(std::string_view text, const DocumentBounds& bounds)
      : rest_(text), line_start_(text.data()), bounds_(bounds) {}

  std::optional<Error> run() {
    while (!rest_.empty()) {
      if (!step()) return too_many_nodes(bounds_, here());
      if (header_depth_ + depth_ > bounds_.max_depth) return too_deep(bounds_, here());
    }
    return std::nullopt;
  }

private:
  // Where keys or elements are read: a line of the document, an inline table, or a list.
  struct Level {
    char kind;             // '\n', '{' or '['.
    std::size_t dots = 0;  // Of the present key: each nests one table more.
  };

  Position here() const { return {line_, static_cast<std::uint32_t>(rest_.data() - line_start_)}; }
  bool in_list() const { return levels_.back().kind == '['; }

  // False where there are more values than may be.
  bool step() {
    const char c = rest_.front();
    if (c == '#') return comment(), true;
    if (c == '"' || c == '\'') return starts_value() && (quoted(c), true);
    rest_.remove_prefix(1);
    if (c == '\n') new_line();
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') return true;
    if (in_header_) return header(c), true;
    return is_key_ ? key(c) : value(c);
  }

  void header(char c) {
    if (c == '.') ++header_depth_;
    if (c == ']') in_header_ = false;
  }

  bool key(char c) {
    if (c == '[' && levels_.size() == 1 && levels_.back().dots == 0) {
      // [x] opens a table below the root's, [[x]] a list and a table in it.
      const bool list = rest_.starts_with('[');
      if (list) rest_.remove_prefix(1);
      in_header_ = true;
      header_depth_ = list ? 3 : 2;
      return count();
    }
    if (c == '.') {
      ++levels_.back().dots;
      ++depth_;
    }
    if (c == '}') leave();
    if (c != '=') return true;
    is_key_ = false;
    return count();
  }

  bool value(char c) {
    if (c == ',') {
      awaits_ = in_list();
      if (!awaits_) next_key();
      return true;
    }
    if (c == ']' || c == '}') return leave(), true;
    if (!starts_value()) return false;
    if (c != '[' && c != '{') return true;
    levels_.push_back({c});
    ++depth_;
    awaits_ = c == '[';
    if (c == '{') next_key();
    return true;
  }

  void leave() {
    if (levels_.size() == 1) return;
    depth_ -= levels_.back().dots + 1;
    levels_.pop_back();
    is_key_ = false;
    awaits_ = false;
  }

  // An element of a list counts where it begins; other values were counted at their key.
  bool starts_value() {
    if (!awaits_) return true;
    awaits_ = false;
    return count();
  }

  void next_key() {
    depth_ -= levels_.back().dots;
    levels_.back().dots = 0;
    is_key_ = true;
  }

  void new_line() {
    ++line_;
    line_start_ = rest_.data();
    if (levels_.size() > 1) return;
    in_header_ = false;
    next_key();
  }

  bool count() { return ++values_ <= bounds_.max_nodes; }

  void comment() { rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size())); }

  void quoted(char quote) {
    const std::string fence(3, quote);
    const bool is_long = rest_.starts_with(fence);
    rest_.remove_prefix(is_long ? 3 : 1);
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (is_long ? rest_.starts_with(fence) : c == quote || c == '\n') break;
      const bool escape = c == '\\' && quote == '"' && rest_.size() > 1 && rest_[1] != '\n';
      rest_.remove_prefix(escape ? 2 : 1);
      if (c != '\n') continue;
      ++line_;
      line_start_ = rest_.data();
    }
    // Up to two more quotes belong to a long text, and end it together with its fence.
    for (std::size_t i = 0; i < (is_long ? 5 : 1) && rest_.starts_with(quote); ++i) {
      rest_.remove_prefix(1);
    }
  }

  std::string_view rest_;
  std::uint32_t line_ = 1;
  const char* line_start_;
  const DocumentBounds& bounds_;
  std::size_t values_ = 0;
  bool in_header_ = false;
  std::size_t header_depth_ = 1;  // Of the table that the last header opened; the root's at first.
  std::vector<Level> levels_ = {{'\n'}};
  std::size_t depth_ = 0;  // Of all levels but the first, and of the dots in their keys.
  bool is_key_ = true;     // Else what is read is a value.
  bool awaits_ = false;    // An element of a list may begin.
};

Position position_of(const toml::source_position& at) {
  return {static_cast<std::uint32_t>(at.line), static_cast<std::uint32_t>(at.column)};
}

bool is_before(Position a, Position b) {
  return a.line != b.line ? a.line < b.line : a.column < b.column;
}

// Copies what toml++ read. Recurses no deeper than the builder lets it.
class Copier {
public:
  Copier(const DocumentBounds& bounds, std::vector<Issue>* flaws) : tree_(bounds, flaws) {}

  Result<Node> copy(const toml::table& root) {
    if (!table(root, {1, 1})) return tree_.error();
    return tree_.take();
  }

private:
  bool table(const toml::table& from, Position at) {
    struct Entry {
      const toml::key* key;
      const toml::node* value;
    };
    std::vector<Entry> entries;
    entries.reserve(from.size());
    for (const auto& [key, value] : from) entries.push_back({&key, &value});
    // toml++ sorts by name; the document's own order is where the keys stand.
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return is_before(position_of(a.key->source().begin), position_of(b.key->source().begin));
    });
    if (!tree_.open_mapping(at)) return false;
    for (const auto& [key, member] : entries) {
      const Position key_at = position_of(key->source().begin);
      if (!tree_.key(std::string(key->str()), key_at)) return false;
      if (!value(*member, key_at)) return false;
    }
    return tree_.close();
  }

  bool list(const toml::array& from, Position at) {
    if (!tree_.open_sequence(at)) return false;
    for (const toml::node& element : from) {
      if (!value(element, at)) return false;
    }
    return tree_.close();
  }

  // Tables that only a header implies have no place of their own: their key's does.
  bool value(const toml::node& from, Position key_at) {
    Position at = position_of(from.source().begin);
    if (at.line == 0) at = key_at;
    if (const auto* members = from.as_table()) return table(*members, at);
    if (const auto* elements = from.as_array()) return list(*elements, at);
    if (const auto* text = from.as_string()) return tree_.add(Node{text->get(), at});
    if (const auto* flag = from.as_boolean()) return tree_.add(Node{flag->get(), at});
    if (const auto* whole = from.as_integer()) {
      return tree_.add(Node{static_cast<double>(whole->get()), at});
    }
    if (const auto* number = from.as_floating_point()) {
      if (std::isfinite(number->get())) return tree_.add(Node{number->get(), at});
      return tree_.flaw(at, not_finite(fmt::format("{}", number->get())), tree_.path()) &&
             tree_.add(Node{nullptr, at});
    }
    std::ostringstream text;  // A date or a time, as it was written.
    if (const auto* date = from.as_date()) text << date->get();
    if (const auto* time = from.as_time()) text << time->get();
    if (const auto* moment = from.as_date_time()) text << moment->get();
    return tree_.add(Node{text.str(), at});
  }

  TreeBuilder tree_;
};

}  // namespace

Result<Node> parse_toml(std::string_view text, const DocumentBounds& bounds,
                        std::vector<Issue>* flaws) {
  if (auto error = Scan(text, bounds).run()) return *std::move(error);
  try {
    return Copier(bounds, flaws).copy(toml::parse(text));
  } catch (const toml::parse_error& error) {
    return syntax_error(position_of(error.source().begin), shown(error.description()));
  }
}

}  // namespace limitr::policy
