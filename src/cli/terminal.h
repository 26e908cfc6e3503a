// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace limitr::cli {

/// Colours for standard output: only where it is a terminal and NO_COLOR is not set.
class Style {
public:
  Style();

  std::string good(std::string_view text) const { return painted(text, "32"); }
  std::string bad(std::string_view text) const { return painted(text, "31"); }
  std::string caution(std::string_view text) const { return painted(text, "33"); }
  std::string strong(std::string_view text) const { return painted(text, "1"); }
  std::string faint(std::string_view text) const { return painted(text, "2"); }

private:
  std::string painted(std::string_view text, std::string_view code) const;
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
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text(const Style& style) const;

private:
  std::string line(const std::vector<std::string>& cells,
                   const std::vector<std::size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace limitr::cli
