// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <utility>

#include "convert.h"
#include "engine.h"

// What the engine calls: handlers, host functions, the log.
namespace limitr::python {
namespace {

thread_local int callbacks = 0;

/// Holds the GIL for as long as a callback of Python's runs.
class Callback {
public:
  Callback() { ++callbacks; }
  Callback(const Callback&) = delete;
  Callback& operator=(const Callback&) = delete;
  ~Callback() { --callbacks; }

private:
  Gil gil_;
};

/// A handler: the engine knows its name, the state its function.
struct Handler {
  State* state;
  std::string name;
};

// Logs the exception that is set; the engine goes on.
void report(const State& state, const char* kind, const std::string& name) {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* trace = nullptr;
  // Who pressed Ctrl-C meant the program, not the handler.
  if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) PyErr_SetInterrupt();
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  const Ref held_type(type);
  const Ref held_value(value);
  const Ref held_trace(trace);
  const Ref what(PyUnicode_FromString(kind));
  const Ref which(str(view(name)));
  PyObject* to = state.log_to ? state.log_to.get() : Py_None;
  Ref done;
  if (what && which)
    done = call(hook("failed"), to, what.get(), which.get(), value,
                trace == nullptr ? Py_None : trace);
  if (!done) PyErr_WriteUnraisable(nullptr);
}

// `key` and the payload as a dict, given to `function`.
Ref call_with_event(PyObject* function, const limitr_event& event) {
  const Ref key(str(event.type));
  const Ref payload(str(event.payload));
  if (!key || !payload) return nullptr;
  const Ref value = call(hook("loads"), payload.get());
  return value ? call(function, key.get(), value.get()) : nullptr;
}

void on_event(void* data, const limitr_event* event) {
  const Handler& handler = *static_cast<Handler*>(data);
  const Callback callback;
  State& state = *handler.state;
  if (!state.handlers) return;
  // Held, because it may remove itself.
  const Ref function = shared(PyDict_GetItemString(state.handlers.get(), handler.name.c_str()));
  if (!function) return;
  const Ref done = call_with_event(function.get(), *event);
  if (!done) report(state, "handler", handler.name);
}

void release_handler(void* data) { delete static_cast<Handler*>(data); }

Ref function_of(const HostFunction& of) {
  if (!of.state->functions) return nullptr;
  return shared(PyList_GetItem(of.state->functions.get(), of.index));
}

int put_number(const HostFunction& of, const Ref& answer, double* into) {
  if (answer) *into = PyFloat_AsDouble(answer.get());
  if (answer && PyErr_Occurred() == nullptr) return 1;
  report(*of.state, "host function", of.name);
  return 0;
}

// Messages that came while nobody called: Python's main thread runs this.
int hand_on_all(void*) {
  // A log function may open or end engines.
  for (std::size_t i = 0; i < states.size(); ++i) hand_on_log(*states[i]);
  return 0;
}

}  // namespace

std::vector<State*> states;

bool is_in_callback() { return callbacks != 0; }

void Log::add(std::string_view message) {
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) {
      std::fprintf(stderr, "limitr: %.*s\n", static_cast<int>(message.size()), message.data());
      return;
    }
    is_first = waiting_.empty();
    waiting_.emplace_back(message);
    is_waiting_.store(true, std::memory_order_relaxed);
  }
  // Where that list is full, the next call of the engine hands it on.
  if (is_first) Py_AddPendingCall(hand_on_all, nullptr);
}

void Log::hand_on(PyObject* to) {
  std::vector<std::string> messages;
  {
    const std::lock_guard lock(mutex_);
    messages = std::exchange(waiting_, {});
    is_waiting_.store(false, std::memory_order_relaxed);
  }
  if (messages.empty() || to == nullptr) return;
  const Ref function = shared(to);
  // An exception that is on its way goes on after the log.
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  for (const std::string& message : messages) {
    const Ref said(str(view(message)));
    const Ref done = said ? call(function.get(), said.get()) : nullptr;
    if (!done) PyErr_WriteUnraisable(function.get());
  }
  PyErr_Restore(type, value, trace);
}

void Log::close() {
  const std::lock_guard lock(mutex_);
  is_closed_ = true;
}

void log_message(void* data, limitr_view message) {
  static_cast<State*>(data)->log.add(text(message));
}

int call_overhead(void* data, double units, limitr_view event_data, double* runes) {
  const HostFunction& of = *static_cast<HostFunction*>(data);
  const Callback callback;
  const Ref function = function_of(of);
  const Ref json(str(event_data));
  const Ref number(PyFloat_FromDouble(units));
  if (!function || !json || !number) return PyErr_Clear(), 0;
  const Ref parsed = call(hook("loads"), json.get());
  return put_number(of, parsed ? call(function.get(), number.get(), parsed.get()) : nullptr, runes);
}

int call_rate(void* data, double* rate) {
  const HostFunction& of = *static_cast<HostFunction*>(data);
  const Callback callback;
  const Ref function = function_of(of);
  if (!function) return PyErr_Clear(), 0;
  return put_number(of, call(function.get()), rate);
}

int call_notification(void* data, const limitr_event* event, int* matches) {
  const HostFunction& of = *static_cast<HostFunction*>(data);
  const Callback callback;
  const Ref function = function_of(of);
  if (!function) return PyErr_Clear(), 0;
  const Ref answer = call_with_event(function.get(), *event);
  const int is_true = answer ? PyObject_IsTrue(answer.get()) : -1;
  if (is_true < 0) return report(*of.state, "host function", of.name), 0;
  *matches = is_true;
  return 1;
}

PyObject* add_handler(PyObject* self, PyObject* args) {
  PyObject* name = nullptr;
  PyObject* function = nullptr;
  if (!PyArg_ParseTuple(args, "OO:add_handler", &name, &function)) return nullptr;
  State* state = usable(self);
  limitr_view key{};
  if (state == nullptr || !to_view(name, "name", key)) return nullptr;
  if (!PyCallable_Check(function))
    return wrong_type("handler", "a function of (key, value)", function), nullptr;
  if (PyDict_SetItem(state->handlers.get(), name, function) < 0) return nullptr;
  state->is_waited_for = true;
  auto* handler = new Handler{.state = state, .name = std::string(text(key))};
  {
    const Released released(*state);
    limitr_add_handler(state->engine, key, on_event, handler, release_handler);
  }
  Py_RETURN_NONE;
}

PyObject* remove_handler(PyObject* self, PyObject* name) {
  State* state = usable(self);
  limitr_view key{};
  if (state == nullptr || !to_view(name, "name", key)) return nullptr;
  int removed = 0;
  {
    const Released released(*state);
    removed = limitr_remove_handler(state->engine, key);
  }
  if (PyDict_DelItem(state->handlers.get(), name) < 0) PyErr_Clear();
  return PyBool_FromLong(removed);
}

PyObject* clear_handlers(PyObject* self, PyObject*) {
  State* state = usable(self);
  if (state == nullptr) return nullptr;
  {
    const Released released(*state);
    limitr_clear_handlers(state->engine);
  }
  PyDict_Clear(state->handlers.get());
  Py_RETURN_NONE;
}

}  // namespace limitr::python
