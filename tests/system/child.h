// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include <sys/types.h>

// Other processes, and what they tell.
namespace limitr::system_tests {

/// From children to their parent. REQUIRES: a note is smaller than PIPE_BUF: it is never torn then.
class Pipe {
public:
  Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe();

  void write(const void* note, std::size_t size) const;
  /// False when nobody is left to write. REQUIRES: hear_only() was called.
  bool read(void* note, std::size_t size) const;
  /// All children are made: from now on this process only reads.
  void hear_only();

private:
  int ends_[2] = {-1, -1};
};

/// What children tell their parent: notes of one kind.
template <typename Note>
class Told {
public:
  void tell(const Note& note) const { pipe_.write(&note, sizeof note); }
  std::optional<Note> next() const {
    Note note{};
    return pipe_.read(&note, sizeof note) ? std::optional(note) : std::nullopt;
  }
  void hear_only() { pipe_.hear_only(); }

private:
  Pipe pipe_;
};

/// A process that runs a function and ends. REQUIRES: no other thread runs when it is made.
class Child {
public:
  explicit Child(const std::function<void()>& run);
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  /// Kills it, where it was not waited for.
  ~Child();

  void kill() const;
  /// Stands still when this returns, until it is to go on.
  void stop() const;
  void go_on() const;
  /// Until it has ended: 0, what it exited with, or minus the signal that it died of.
  int wait();

private:
  ::pid_t process_ = -1;
};

}  // namespace limitr::system_tests
