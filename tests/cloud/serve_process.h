// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limitr/limitr.h>
#include "base/test_folder.h"

namespace limitr::testing {

/// For tests only: `limitr serve`, a process of its own, on a SQLite store in a folder.
/// LIMITR_PROGRAM is the program.
class ServeProcess {
public:
  ServeProcess() = default;
  ServeProcess(const ServeProcess&) = delete;
  ServeProcess& operator=(const ServeProcess&) = delete;
  ~ServeProcess() { stop(SIGTERM); }

  std::string policy_file() const { return folder_.file("policy.yaml"); }
  std::string store() const { return "sqlite:" + folder_.file("limitr.db"); }
  const TestFolder& folder() const { return folder_; }

  /// On the same port from the second time on, with what the first one has stored. `flags` come
  /// after those that every server has. REQUIRES: it does not run.
  void start(std::vector<std::string> flags) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    std::vector<std::string> words = {
        "limitr", "serve", "--listen", fmt::format("127.0.0.1:{}", port_), "--store", store()};
    words.insert(words.end(), flags.begin(), flags.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const std::string log = folder_.file("log");
    process_ = fork();
    if (process_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      dup2(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
      execv(LIMITR_PROGRAM, arguments.data());
      _exit(127);
    }
    ::close(ends[1]);
    output_ = fdopen(ends[0], "r");
    read_greeting();
    ASSERT_NE(port_, 0) << "the server did not start";
  }
  void stop(int signal) {
    if (process_ == 0) return;
    kill(process_, signal);
    waitpid(process_, nullptr, 0);
    std::fclose(output_);
    process_ = 0;
  }

  CloudOptions options() const {
    CloudOptions options;
    options.token = token_;
    options.address = fmt::format("http://127.0.0.1:{}", port_);
    options.engine.log = [](std::string_view) {};
    return options;
  }

private:
  // The first token, where there is one, and the port.
  void read_greeting() {
    char line[512];
    while (std::fgets(line, sizeof line, output_) != nullptr) {
      const std::string text(line);
      if (const auto at = text.find("shown this once: "); at != std::string::npos) {
        token_ = text.substr(at + 17);
        token_.erase(token_.find_last_not_of(" \n") + 1);
      }
      if (text.find("Serving at ") == std::string::npos) continue;
      port_ = std::stoi(text.substr(text.rfind(':') + 1));
      return;
    }
  }

  const TestFolder folder_;
  std::string token_;
  int port_ = 0;
  pid_t process_ = 0;
  std::FILE* output_ = nullptr;
};

/// REQUIRES: the server runs.
inline Limitr opened(const CloudOptions& options) {
  Result<Limitr> limitr = Limitr::cloud(options);
  if (!limitr.ok()) {
    ADD_FAILURE() << limitr.error().to_string();
    std::abort();
  }
  return *std::move(limitr);
}

}  // namespace limitr::testing
