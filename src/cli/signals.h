// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <csignal>

namespace limitr::cli {

/// Signals that ask the program to end wait until this is gone: what is done meanwhile is whole or
/// undone.
class SignalsWait {
public:
  SignalsWait() {
    sigset_t ending;
    sigemptyset(&ending);
    for (const int signal : signals) sigaddset(&ending, signal);
    ::pthread_sigmask(SIG_BLOCK, &ending, &before_);
  }
  SignalsWait(const SignalsWait&) = delete;
  SignalsWait& operator=(const SignalsWait&) = delete;
  ~SignalsWait() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  /// Whether one is waiting.
  static bool is_asked_to_end() {
    sigset_t waiting;
    sigemptyset(&waiting);
    ::sigpending(&waiting);
    for (const int signal : signals) {
      if (sigismember(&waiting, signal) == 1) return true;
    }
    return false;
  }

private:
  static constexpr std::array signals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

  sigset_t before_{};
};

}  // namespace limitr::cli
