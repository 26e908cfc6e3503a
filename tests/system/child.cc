// SPDX-License-Identifier: Apache-2.0
#include "child.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace limitr::system_tests {

Pipe::Pipe() {
  if (::pipe(ends_) != 0) std::abort();
}

Pipe::~Pipe() {
  ::close(ends_[0]);
  if (ends_[1] >= 0) ::close(ends_[1]);
}

void Pipe::write(const void* note, std::size_t size) const {
  if (::write(ends_[1], note, size) != static_cast<::ssize_t>(size)) std::_Exit(3);
}

bool Pipe::read(void* note, std::size_t size) const {
  ::ssize_t got = 0;
  do {
    got = ::read(ends_[0], note, size);
  } while (got < 0 && errno == EINTR);
  return got == static_cast<::ssize_t>(size);
}

void Pipe::hear_only() { ::close(std::exchange(ends_[1], -1)); }

Child::Child(const std::function<void()>& run) {
  const ::pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ < 0) std::abort();
  if (process_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) std::_Exit(1);  // It was gone before we asked.
  run();
  std::_Exit(0);
}

Child::Child(Child&& other) noexcept : process_(std::exchange(other.process_, -1)) {}

Child::~Child() {
  if (process_ < 0) return;
  kill();
  wait();
}

void Child::kill() const {
  // Never -1, which is everybody.
  if (process_ > 0) ::kill(process_, SIGKILL);
}

void Child::stop() const {
  ::kill(process_, SIGSTOP);
  ::waitpid(process_, nullptr, WUNTRACED);
}

void Child::go_on() const { ::kill(process_, SIGCONT); }

int Child::wait() {
  int status = 0;
  ::waitpid(std::exchange(process_, -1), &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace limitr::system_tests
