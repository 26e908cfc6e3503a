// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <simdjson.h>

#include "policy/document_reader.h"

namespace limitr::policy {
namespace {

// Walks the text beside the parser, which does not tell where its values stand: one call for each
// token that the parser reports.
class Cursor {
public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  // The start of the next token, which is then behind the cursor.
  Position next() {
    skip([](char c) { return is_one_of(" \t\r\n,:", c); });
    const Position at = here_;
    if (rest_.empty()) return at;
    const char first = rest_.front();
    advance();
    if (first == '"') {
      skip_text();
    } else if (!is_one_of("{}[]", first)) {
      skip([](char c) { return !is_one_of(" \t\r\n,:{}[]\"", c); });
    }
    return at;
  }

  // The position of a byte not yet passed.
  Position at_most(std::size_t bytes) {
    while (bytes > passed_ && !rest_.empty()) advance();
    return here_;
  }

private:
  static bool is_one_of(std::string_view set, char c) {
    return set.find(c) != std::string_view::npos;
  }

  template <typename Predicate>
  void skip(Predicate belongs) {
    while (!rest_.empty() && belongs(rest_.front())) advance();
  }

  void skip_text() {
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() == '\\') advance();
      if (!rest_.empty()) advance();
    }
    if (!rest_.empty()) advance();
  }

  void advance() {
    const char c = rest_.front();
    if (c == '\n') {
      here_ = {here_.line + 1, 1};
    } else if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) {
      ++here_.column;
    }
    rest_.remove_prefix(1);
    ++passed_;
  }

  std::string_view rest_;
  std::size_t passed_ = 0;
  Position here_ = {1, 1};
};

// Takes the parser's events; false makes it stop.
class Events : public Json::json_sax_t {
public:
  Events(std::string_view text, const DocumentBounds& bounds)
      : text_(text), cursor_(text), tree_(bounds) {}

  bool null() override { return tree_.add(Node{nullptr, cursor_.next()}); }
  bool boolean(bool flag) override { return tree_.add(Node{flag, cursor_.next()}); }
  bool number_integer(number_integer_t number) override {
    return tree_.add(Node{static_cast<double>(number), cursor_.next()});
  }
  bool number_unsigned(number_unsigned_t number) override {
    return tree_.add(Node{static_cast<double>(number), cursor_.next()});
  }
  bool number_float(number_float_t number, const string_t& /*written*/) override {
    return tree_.add(Node{number, cursor_.next()});
  }
  bool string(string_t& text) override { return tree_.add(Node{std::move(text), cursor_.next()}); }
  bool binary(binary_t& /*bytes*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return tree_.open_mapping(cursor_.next()); }
  bool key(string_t& name) override { return tree_.key(std::move(name), cursor_.next()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*size*/) override { return tree_.open_sequence(cursor_.next()); }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t offset, const std::string& /*token*/,
                   const nlohmann::detail::exception& exception) override {
    std::string_view message = exception.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ..."
    if (const std::size_t id = message.find("] "); id != std::string_view::npos) {
      message.remove_prefix(id + 2);
    }
    if (const std::size_t place = message.find(": ");
        message.starts_with("parse error at") && place != std::string_view::npos) {
      message.remove_prefix(place + 2);
    }
    // What it read last may break off inside a character.
    if (!simdjson::validate_utf8(message.data(), message.size())) {
      message = message.substr(0, message.find("; last read"));
    }
    const Position at = Cursor(text_).at_most(offset == 0 ? 0 : offset - 1);
    return tree_.fail(syntax_error(at, shown(message)));
  }

  TreeBuilder& tree() { return tree_; }

private:
  bool close() {
    cursor_.next();
    return tree_.close();
  }

  std::string_view text_;
  Cursor cursor_;
  TreeBuilder tree_;
};

}  // namespace

Result<Node> parse_json(std::string_view text, const DocumentBounds& bounds) {
  Events events(text, bounds);
  if (!Json::sax_parse(text.begin(), text.end(), &events)) return events.tree().error();
  return events.tree().take();
}

}  // namespace limitr::policy
