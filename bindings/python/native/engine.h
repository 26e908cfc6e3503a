// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "python.h"

// INVARIANTS
// 1. Nobody waits for the engine while they hold the GIL, unless nothing of Python can run under
//    that engine and it has neither store nor server: with `is_waited_for` off, a call holds the
//    GIL from end to end, which is what makes it fast. It waits for no more than another call's
//    lock, and whoever holds that needs no GIL to go on.
// 2. What the engine says to its log takes no GIL: it is kept, and handed on by whoever holds the
//    GIL next. So it may be said under any lock and on any thread.
// 3. An engine that was opened before a fork is never touched after it: its threads are not there.
// 4. An engine is not ended on a thread that is inside one of its callbacks.
namespace limitr::python {

struct State;

/// Messages of an engine on their way to Python.
class Log {
public:
  void add(std::string_view message);
  /// Hands on what waits. REQUIRES: the GIL is held.
  void hand_on(PyObject* to);
  bool is_waiting() const { return is_waiting_.load(std::memory_order_relaxed); }
  /// From now on messages go to standard error: Python is about to end.
  void close();

private:
  std::mutex mutex_;
  std::vector<std::string> waiting_;  // guarded by mutex_
  bool is_closed_ = false;            // guarded by mutex_
  std::atomic<bool> is_waiting_ = false;
};

/// A host function of Python's, by its place in State::functions.
struct HostFunction {
  State* state;
  Py_ssize_t index;
  std::string name;
};

/// An engine and what of Python it is called with. All of it is guarded by the GIL.
struct State {
  limitr_engine* engine = nullptr;
  unsigned forks = 0;          ///< How often the process had forked when it was opened.
  bool is_waited_for = false;  ///< See invariant 1. Never goes back to false.
  bool is_closed = false;
  std::uint64_t written = 0;  ///< What closing it gave.
  int in_use = 0;             ///< Calls on their way with the GIL released.
  Log log = {};
  Ref log_to = {};     ///< Called with each message.
  Ref clock = {};      ///< Kept as long as the engine.
  Ref handlers = {};   ///< dict: name to function. The engine knows only their names.
  Ref functions = {};  ///< list of host functions.
  std::deque<HostFunction> host = {};
};

struct Engine {
  PyObject_HEAD State* state;
  PyObject* weak;
};

/// Lets other threads of Python run while the engine works.
class Released {
public:
  explicit Released(State& state) : state_(state) {
    ++state_.in_use;
    thread_ = PyEval_SaveThread();
  }
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;
  ~Released() {
    gil_held([this] { PyEval_RestoreThread(thread_); });
    --state_.in_use;
  }

private:
  State& state_;
  PyThreadState* thread_;
};

extern unsigned forks;  ///< How often this process is the child of a fork.

/// The exception for an engine that cannot be called. Gives NULL.
State* unusable(const State* state);

/// The state of an engine that can be called; null with an exception set.
inline State* usable(PyObject* self) {
  State* state = reinterpret_cast<Engine*>(self)->state;
  if (state != nullptr && state->engine != nullptr && state->forks == forks) return state;
  return unusable(state);
}

inline void hand_on_log(State& state) {
  if (state.log.is_waiting()) state.log.hand_on(state.log_to.get());
}

// Callbacks of the C interface; `data` is a State for the log, a HostFunction for the others.
void log_message(void* data, limitr_view message);
int call_overhead(void* data, double units, limitr_view event_data, double* runes);
int call_rate(void* data, double* rate);
int call_notification(void* data, const limitr_event* event, int* matches);

// Methods.
PyObject* add_handler(PyObject* self, PyObject* args);
PyObject* remove_handler(PyObject* self, PyObject* name);
PyObject* clear_handlers(PyObject* self, PyObject* none);

/// True on a thread that is inside a callback of an engine.
bool is_in_callback();

/// All states, for the log.
extern std::vector<State*> states;

/// The methods that decide: allow, check, ...; ends with an empty one.
extern const std::vector<PyMethodDef> deciding_methods;

PyTypeObject* engine_type();

}  // namespace limitr::python
