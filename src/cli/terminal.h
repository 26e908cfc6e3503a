// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

// All that the program prints goes through here, so that no text of a document, a file's name or
// an argument can give orders to a terminal.
namespace limitr::cli {

/// The text with what a terminal would obey spelled out: control characters as in JSON (`\n`,
/// `\u001b`), and each byte of what is no UTF-8 (`\x9b`). JSON text keeps its meaning.
std::string visible(std::string_view text);

/// Text that is printed as it is: ours, or visible already.
struct Shown {
  std::string text;
};

template <typename T>
auto printable(const T& part) {
  if constexpr (std::is_same_v<T, Shown>) {
    return part.text;
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return visible(part);
  } else {
    return part;
  }
}

template <typename T>
using Printable = decltype(printable(std::declval<const T&>()));

/// Formats the parts, made visible, to a standard stream. What cannot be written shows at
/// output_problem().
template <typename... Parts>
void print_to(std::FILE* stream, fmt::format_string<Printable<Parts>...> format,
              const Parts&... parts) {
  const std::string text = fmt::format(format, printable(parts)...);
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stream));
}

template <typename... Parts>
void print(fmt::format_string<Printable<Parts>...> format, const Parts&... parts) {
  print_to<Parts...>(stdout, format, parts...);
}

/// Gives each standard stream that is closed a file that takes nothing, so that no other file is
/// opened in its place and gets what is meant for it.
void begin_output();

/// Writes out what is printed. Empty: all of it reached standard output; else why not.
std::string output_problem();

/// Colours for standard output: only where it is a terminal and NO_COLOR is not set.
class Style {
public:
  Style();

  Shown good(std::string_view text) const { return painted(text, "32"); }
  Shown bad(std::string_view text) const { return painted(text, "31"); }
  Shown caution(std::string_view text) const { return painted(text, "33"); }
  Shown strong(std::string_view text) const { return painted(text, "1"); }
  Shown faint(std::string_view text) const { return painted(text, "2"); }

private:
  Shown painted(std::string_view text, std::string_view code) const;
  bool is_coloured_;
};

/// Rows under headings, each column as wide as its widest cell.
class Table {
public:
  struct Column {
    std::string heading;
    bool is_number = false;  ///< Aligned to the right.
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// REQUIRES: as many cells as columns.
  void add(const std::vector<std::string>& cells);
  Shown text(const Style& style) const;

private:
  std::string line(const std::vector<std::string>& cells,
                   const std::vector<std::size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace limitr::cli
