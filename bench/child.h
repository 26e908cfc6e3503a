// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace limitr::bench {

/// A program that a Child runs.
struct Program {
  std::string path = "/proc/self/exe";  ///< This one once more.
  std::string log = {};                 ///< The file for its standard error; empty: it is ours.
};

/// A program in a process that has done nothing else: it has no freed memory that anything could
/// hide in, and shares none with us. We write to its standard input, and read its standard output,
/// line by line. It does not outlive us.
class Child {
public:
  explicit Child(const std::vector<std::string>& arguments, const Program& program = {});
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { finish(); }

  /// None: -1.
  ::pid_t process() const { return process_; }
  void say(std::string_view line);
  /// Its next line; none where it has ended.
  std::optional<std::string> hear();
  /// Asks a program to end that does not do so by itself when its input is closed.
  void terminate();
  /// Closes its input and waits; whether it ended well.
  bool finish();

private:
  ::pid_t process_ = -1;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
  bool ended_well_ = false;
};

}  // namespace limitr::bench
