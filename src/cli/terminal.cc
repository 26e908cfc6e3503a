// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "base/json_writer.h"

namespace limitr::cli {
namespace {

/// How many characters a text shows: bytes that continue a UTF-8 sequence show none.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) >> 6U) != 2; }));
}

bool wants_colour() {
  // NOLINTBEGIN(concurrency-mt-unsafe): nothing here writes to the environment
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  // NOLINTEND(concurrency-mt-unsafe)
  if (no_colour && *no_colour != '\0') return false;
  if (terminal && std::string_view(terminal) == "dumb") return false;
  return ::isatty(STDOUT_FILENO) == 1;
}

}  // namespace

std::string visible(std::string_view text) {
  const bool is_text = is_utf8(text);
  std::string shown;
  shown.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // In UTF-8 the controls U+0080 to U+009F are these two bytes.
    const bool is_high_control =
        is_text && c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c == '\n') {
      shown += "\\n";
    } else if (c == '\r') {
      shown += "\\r";
    } else if (c == '\t') {
      shown += "\\t";
    } else if (c < 0x20 || c == 0x7F) {
      shown += fmt::format("\\u{:04x}", c);
    } else if (is_high_control) {
      shown += fmt::format("\\u{:04x}", static_cast<unsigned char>(text[++i]));
    } else if (c >= 0x80 && !is_text) {
      shown += fmt::format("\\x{:02x}", c);
    } else {
      shown.push_back(text[i]);
    }
  }
  return shown;
}

void begin_output() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) != -1) continue;
    // The wrong way round: whoever reads or writes there gets an error, as without it. It is the
    // lowest number that is free, and so becomes the stream.
    static_cast<void>(::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY));
  }
}

std::string output_problem() {
  if (std::fflush(stdout) != 0) return std::generic_category().message(errno);
  return std::ferror(stdout) == 0 ? "" : "not all of it was taken";
}

Style::Style() : is_coloured_(wants_colour()) {}

Shown Style::painted(std::string_view text, std::string_view code) const {
  if (!is_coloured_) return {visible(text)};
  return {fmt::format("\x1b[{}m{}\x1b[0m", code, visible(text))};
}

void Table::add(const std::vector<std::string>& cells) {
  std::vector<std::string>& row = rows_.emplace_back();
  for (const std::string& cell : cells) row.push_back(visible(cell));
}

std::string Table::line(const std::vector<std::string>& cells,
                        const std::vector<std::size_t>& widths) const {
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - width(cells[i]), ' ');
    if (i != 0) text += "  ";
    text += columns_[i].is_number ? padding + cells[i] : cells[i] + padding;
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

Shown Table::text(const Style& style) const {
  std::vector<std::string> headings;
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) {
    headings.push_back(column.heading);
    widths.push_back(width(column.heading));
  }
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  Shown table = style.strong(line(headings, widths));
  table.text += '\n';
  for (const auto& row : rows_) table.text += line(row, widths) + '\n';
  return table;
}

}  // namespace limitr::cli
