// SPDX-License-Identifier: Apache-2.0
#include "policy/document_yaml_count.h"

#include <algorithm>
#include <array>

namespace limitr::policy {
namespace {

constexpr std::size_t none = std::string_view::npos;

// On one line: with more, the depth is what is wrong.
constexpr std::size_t most_dashes = 16;

// What a character of a line may be. Those of `special` may make the line mean something else, or,
// as some beyond ASCII do, which begin with these two bytes, end it.
enum class Kind : unsigned char { plain, newline, colon, special };
constexpr auto kinds = [] {
  std::array<Kind, 256> kinds_of = {};
  for (const char c : std::string_view("\"'|>[]{}#&*!%?@`\t\r\\\xC2\xE2")) {
    kinds_of[static_cast<unsigned char>(c)] = Kind::special;
  }
  kinds_of['\n'] = Kind::newline;
  kinds_of[':'] = Kind::colon;
  return kinds_of;
}();

// Counts what is certain to be a value: in brackets, what a comma ends; in lines, what a dash or a
// key begins. A line can only go on with the text of those before it where it is indented further
// than they are, so one that is not begins something; so does any line behind a lone key or dash.
class YamlCount {
public:
  YamlCount(std::string_view text, std::size_t most) : text_(text), most_(most) {}

  std::optional<std::size_t> find_excess() {
    while (at_ < text_.size() && read_line()) {
      if (values_ > most_) return at_;
    }
    return values_ > most_ ? std::optional(at_) : std::nullopt;
  }

private:
  // The rest of a line.
  struct Rest {
    std::size_t end;           // of the line
    std::size_t colon = none;  // the first that makes what is before it a key
    // Nothing in it means anything but itself: what is before the colon, or all; and what is
    // behind.
    bool is_plain = true;
    bool is_plain_behind = true;
  };

  // False where nothing is certain from here on.
  bool read_line() {
    const std::size_t line = at_;
    const std::size_t first = skip_spaces(line);
    if (first == text_.size() || text_[first] == '\n') return pass(first);
    if (first == line && is_marker(line)) {
      return text_[line] == '-' && ends_line(line + 3) && pass(line + 3);
    }
    std::size_t column = first - line;
    const bool begins = column <= column_ || is_open_;
    std::size_t content = first;
    std::size_t found = 0;
    while (content < text_.size() && text_[content] == '-' && ends_word(content + 1)) {
      ++found;
      content = skip_spaces(content + 1);
    }
    if (found > most_dashes) return false;
    if (is_bracket(content)) return begins && read_brackets_of(found, column, content);
    const Rest rest = look(content);
    std::size_t value = content;
    if (rest.colon != none) {
      ++found;
      column = content - line;
      if (!rest.is_plain) return false;
      value = skip_spaces(rest.colon + 1);
      if (begins && is_bracket(value)) return read_brackets_of(found, column, value);
    }
    const bool is_plain = rest.colon == none ? rest.is_plain : rest.is_plain_behind;
    if (!is_plain && !is_quoted(text_.substr(value, rest.end - value))) return false;
    if (begins && found == 0) return false;  // A text of its own, or a key over several lines.
    if (begins) begin(found, column, value == rest.end);
    return pass(rest.end);
  }

  // What is quoted is no key here.
  Rest look(std::size_t at) const {
    const bool is_quoted = at < text_.size() && (text_[at] == '"' || text_[at] == '\'');
    Rest rest{.end = at};
    for (; rest.end < text_.size(); ++rest.end) {
      const Kind kind = kinds[static_cast<unsigned char>(text_[rest.end])];
      if (kind == Kind::plain) continue;
      if (kind == Kind::newline) break;
      bool& is_plain = rest.colon == none ? rest.is_plain : rest.is_plain_behind;
      if (kind == Kind::special) {
        is_plain = false;
      } else if (rest.colon == none && !is_quoted && ends_word(rest.end + 1)) {
        rest.colon = rest.end;
      } else if (ends_word(rest.end + 1) && !ends_line(rest.end + 1)) {
        is_plain = false;
      }
    }
    return rest;
  }

  void begin(std::size_t found, std::size_t column, bool is_open) {
    values_ += found;
    column_ = column;
    is_open_ = is_open;
  }
  bool read_brackets_of(std::size_t found, std::size_t column, std::size_t at) {
    begin(found, column, false);
    return read_brackets(at);
  }

  bool pass(std::size_t end) {
    at_ = std::min(end + 1, text_.size());
    return true;
  }

  std::size_t skip_spaces(std::size_t at) const {
    while (at < text_.size() && text_[at] == ' ') ++at;
    return at;
  }
  // Whether a document begins or ends there.
  bool is_marker(std::size_t at) const {
    const char c = text_[at];
    return (c == '-' || c == '.') && text_.size() - at >= 3 && text_[at + 1] == c &&
           text_[at + 2] == c;
  }
  bool ends_line(std::size_t at) const { return at >= text_.size() || text_[at] == '\n'; }
  bool ends_word(std::size_t at) const { return ends_line(at) || text_[at] == ' '; }
  bool is_bracket(std::size_t at) const {
    return at < text_.size() && (text_[at] == '[' || text_[at] == '{');
  }
  // One text in quotes, all of it on this line.
  static bool is_quoted(std::string_view value) {
    if (value.size() < 2 || (value.front() != '"' && value.front() != '\'')) return false;
    const std::string_view inside = value.substr(1, value.size() - 2);
    return value.back() == value.front() && inside.find(value.front()) == none &&
           inside.find('\\') == none;
  }

  // From an opening bracket to the end of the line that it closes on.
  bool read_brackets(std::size_t at) {
    std::size_t depth = 0;
    char before = '[';  // The last character that is no space.
    for (; at < text_.size(); ++at) {
      const char c = text_[at];
      switch (c) {
        case ' ':
        case '\n': continue;
        case '[':
        case '{': ++depth; break;
        case ']':
        case '}': --depth; break;
        case ',': ++values_; break;
        case '"':
        case '\'':
          // Elsewhere it is a part of the text that it stands in.
          if (std::string_view("[{,:'\"").find(before) == none || is_inside(at)) return false;
          at = closing_quote(at);
          if (at == none) return false;
          break;
        case '#':
        case '&':
        case '!':
        case '\t':
        case '\r': return false;
        default: break;
      }
      before = c;
      if (depth == 0 || values_ > most_) break;
    }
    at_ = std::min(at, text_.size());
    if (depth != 0 || values_ > most_) return values_ > most_;
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    if (text_.substr(at_ + 1, end - at_ - 1).find_first_not_of(' ') != none && end > at_)
      return false;
    return pass(end);
  }
  // Whether the quote stands right behind a colon that may be part of a text, as in `a:"b`.
  bool is_inside(std::size_t at) const {
    return text_[at - 1] == ':' && text_[at - 2] != '"' && text_[at - 2] != '\'';
  }
  std::size_t closing_quote(std::size_t at) const {
    const char quote = text_[at];
    for (++at; at < text_.size(); ++at) {
      if (text_[at] == quote) return at;
      if (text_[at] == '\\' && quote == '"') ++at;
    }
    return none;
  }

  std::string_view text_;
  const std::size_t most_;
  std::size_t at_ = 0;
  std::size_t values_ = 0;
  std::size_t column_ =
      0;                 // Of what was begun last: what is not indented further is no part of it.
  bool is_open_ = true;  // Nothing has been begun whose text could go on.
};

}  // namespace

std::optional<std::size_t> find_yaml_excess(std::string_view text, std::size_t most) {
  return YamlCount(text, most).find_excess();
}

}  // namespace limitr::policy
