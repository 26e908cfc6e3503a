// SPDX-License-Identifier: Apache-2.0
#include "policy/document_yaml_count.h"

#include <algorithm>
#include <array>

namespace limitr::policy {
namespace {

constexpr std::size_t none = std::string_view::npos;

// On one line: with more, the depth is what is wrong.
constexpr std::size_t most_dashes = 16;

constexpr auto is_special = [] {
  std::array<bool, 256> special = {};
  for (const char c : std::string_view("\"'|>[]{}#&*!%?@`\t\r\\\xC2\xE2")) {
    special[static_cast<unsigned char>(c)] = true;
  }
  return special;
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
  // False where nothing is certain from here on.
  bool read_line() {
    const std::size_t begin = at_;
    const std::size_t end = std::min(text_.find('\n', begin), text_.size());
    const std::string_view line = text_.substr(begin, end - begin);
    const std::size_t first = line.find_first_not_of(' ');
    if (first == none || line == "---") return pass(end);
    if (line.starts_with("---") || line.starts_with("...")) return false;
    const bool begins = first <= column_ || is_open_;
    std::size_t content = first;
    std::size_t found = 0;
    while (line.substr(content).starts_with("- ") || line.substr(content) == "-") {
      ++found;
      content = std::min(line.find_first_not_of(' ', content + 1), line.size());
    }
    if (found > most_dashes) return false;
    std::string_view value = line.substr(content);
    if (value.starts_with('[') || value.starts_with('{')) {
      if (!begins) return false;
      values_ += found;
      column_ = first;
      is_open_ = false;
      return read_brackets(begin + content);
    }
    std::size_t innermost = found > 0 ? first : none;
    const std::size_t colon = colon_in(value);
    if (colon != none) {
      ++found;
      innermost = content;
      const std::size_t behind = value.find_first_not_of(' ', colon + 1);
      const std::string_view key = value.substr(0, colon);
      value = behind == none ? std::string_view() : value.substr(behind);
      if (!is_plain(key)) return false;
      if (begins && (value.starts_with('[') || value.starts_with('{'))) {
        values_ += found;
        column_ = innermost;
        is_open_ = false;
        return read_brackets(static_cast<std::size_t>(value.data() - text_.data()));
      }
    }
    if (!is_plain(value) && !is_quoted(value)) return false;
    if (begins && found > 0) {
      values_ += found;
      column_ = innermost;
      is_open_ = value.empty();
    } else if (begins) {
      return false;  // A text of its own, or a key over several lines.
    }
    return pass(end);
  }

  bool pass(std::size_t end) {
    at_ = std::min(end + 1, text_.size());
    return true;
  }

  static std::size_t colon_in(std::string_view value) {
    if (value.starts_with('"') || value.starts_with('\'')) return none;
    const std::size_t colon = value.find(": ");
    if (colon != none) return colon;
    return value.ends_with(':') ? value.size() - 1 : none;
  }
  // Nothing in it means anything but itself; nor does it end a line as some characters beyond ASCII
  // do, which begin with these two bytes.
  static bool is_plain(std::string_view value) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (is_special[static_cast<unsigned char>(value[i])]) return false;
      if (value[i] == ' ' && i > 0 && value[i - 1] == ':') return false;
    }
    return true;
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
