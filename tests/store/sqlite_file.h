// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <gtest/gtest.h>
#include <sqlite3.h>

namespace limitr::store {

/// A store's file as another program opens it.
class SqliteFile {
public:
  explicit SqliteFile(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &handle_), SQLITE_OK);
  }
  SqliteFile(const SqliteFile&) = delete;
  SqliteFile& operator=(const SqliteFile&) = delete;
  ~SqliteFile() { sqlite3_close(handle_); }

  void run(const std::string& sql) { text(sql); }

  /// The values of all rows: columns divided by |, rows by a space.
  std::string text(const std::string& sql) {
    std::string found;
    const auto add = [](void* out, int columns, char** values, char**) {
      auto& text = *static_cast<std::string*>(out);
      if (!text.empty()) text += ' ';
      for (int i = 0; i < columns; ++i) {
        if (i > 0) text += '|';
        text += values[i] ? values[i] : "-";
      }
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(handle_, sql.c_str(), add, &found, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(handle_);
    return found;
  }

private:
  sqlite3* handle_ = nullptr;
};

}  // namespace limitr::store
