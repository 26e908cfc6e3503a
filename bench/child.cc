// SPDX-License-Identifier: Apache-2.0
#include "child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

namespace limitr::bench {

Child::Child(const std::vector<std::string>& arguments, const Program& program) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0) return;
  if (pipe2(out.data(), O_CLOEXEC) != 0) {
    close(in[0]);
    close(in[1]);
    return;
  }
  std::vector<std::string> words = {program.path};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> raw_words;
  for (std::string& word : words) raw_words.push_back(word.data());
  raw_words.push_back(nullptr);
  process_ = fork();
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    if (!program.log.empty()) {
      dup2(open(program.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
           STDERR_FILENO);
    }
    execv(program.path.c_str(), raw_words.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  to_ = fdopen(in[1], "w");
  from_ = fdopen(out[0], "r");
}

void Child::say(std::string_view line) {
  if (to_ == nullptr) return;
  std::fwrite(line.data(), 1, line.size(), to_);
  std::fputc('\n', to_);
  std::fflush(to_);
}

std::optional<std::string> Child::hear() {
  if (from_ == nullptr) return std::nullopt;
  char* text = nullptr;
  std::size_t size = 0;
  const ssize_t length = getline(&text, &size, from_);
  std::optional<std::string> line;
  if (length > 0) line.emplace(text, static_cast<std::size_t>(length));
  std::free(text);
  if (line && line->back() == '\n') line->pop_back();
  return line;
}

void Child::terminate() {
  if (process_ > 0) kill(process_, SIGTERM);
}

bool Child::finish() {
  if (to_ != nullptr) std::fclose(std::exchange(to_, nullptr));
  if (from_ != nullptr) std::fclose(std::exchange(from_, nullptr));
  if (process_ > 0) {
    int status = 0;
    const bool is_known = waitpid(process_, &status, 0) == process_;
    ended_well_ = is_known && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    process_ = -1;
  }
  return ended_well_;
}

}  // namespace limitr::bench
