// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include <pthread.h>
#include <structmember.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "answers.h"
#include "clock.h"
#include "convert.h"

// limitr._limitr.Engine: what limitr.Limitr and limitr.aio.Limitr are made of.
namespace limitr::python {

unsigned forks = 0;

namespace {

Engine& engine(PyObject* self) { return *reinterpret_cast<Engine*>(self); }

// Data of the host is each function's own; the C interface has one for the log and the clock.
limitr_host_function c_function(HostFunction& function, const std::string& kind) {
  return {.name = view(function.name),
          .data = &function,
          .overhead = kind == "overhead" ? call_overhead : nullptr,
          .rate = kind == "rates" ? call_rate : nullptr,
          .notification = kind == "notifications" ? call_notification : nullptr};
}

struct Host {
  State* state;
  ManualClock* clock;
};

void log_of_host(void* data, limitr_view message) {
  log_message(static_cast<Host*>(data)->state, message);
}
std::int64_t now_of_host(void* data) { return read_clock(static_cast<Host*>(data)->clock); }
void release_host(void* data) { delete static_cast<Host*>(data); }

// `given`: a list of (kind, name, function).
bool take_functions(State& state, PyObject* given, std::vector<limitr_host_function>& functions) {
  state.functions.reset(PyList_New(0));
  if (!state.functions) return false;
  for (Py_ssize_t i = 0; i < PyList_Size(given); ++i) {
    const char* kind = nullptr;
    const char* name = nullptr;
    PyObject* function = nullptr;
    if (!PyArg_ParseTuple(PyList_GetItem(given, i), "ssO", &kind, &name, &function)) return false;
    if (PyList_Append(state.functions.get(), function) < 0) return false;
    HostFunction& kept =
        state.host.emplace_back(HostFunction{.state = &state, .index = i, .name = name});
    functions.push_back(c_function(kept, kind));
  }
  return true;
}

// Whose policy an engine has: _engine.py has the same numbers.
enum class Whose : std::int32_t { given, store, server };

limitr_engine* open(Whose whose, limitr_view policy, limitr_view options, const limitr_host& host,
                    limitr_error** error) {
  switch (whose) {
    case Whose::given: return limitr_open(policy, options, &host, error);
    case Whose::store: return limitr_open_stored(options, &host, error);
    case Whose::server: return limitr_open_cloud(options, &host, error);
  }
  return nullptr;
}

PyObject* open(PyObject* self, PyObject* args) {
  int whose = 0;
  PyObject* policy = nullptr;
  PyObject* options = nullptr;
  PyObject* functions = nullptr;
  PyObject* clock = nullptr;
  PyObject* log = nullptr;
  int waits = 0;
  if (!PyArg_ParseTuple(args, "iOOO!OOp:_open", &whose, &policy, &options, &PyList_Type, &functions,
                        &clock, &log, &waits))
    return nullptr;
  State& state = *engine(self).state;
  if (state.engine != nullptr) return usage_error("the engine is open already", "");
  limitr_view policy_text{};
  limitr_view options_text{};
  if (!to_view(policy, "policy", policy_text)) return nullptr;
  if (!to_view(options, "options", options_text)) return nullptr;
  std::vector<limitr_host_function> host_functions;
  if (!take_functions(state, functions, host_functions)) return nullptr;
  state.handlers.reset(PyDict_New());
  if (!state.handlers) return nullptr;
  state.clock = shared(clock == Py_None ? nullptr : clock);
  state.log_to = shared(log);
  state.is_waited_for = waits != 0 || !host_functions.empty();
  const limitr_host host = {
      .data = new Host{.state = &state, .clock = reinterpret_cast<ManualClock*>(clock)},
      .log = log_of_host,
      .now = state.clock ? now_of_host : nullptr,
      .release = release_host,
      .functions = host_functions.data(),
      .function_count = host_functions.size()};
  limitr_error* error = nullptr;
  limitr_engine* opened = nullptr;
  {
    const Released released(state);
    opened = open(static_cast<Whose>(whose), policy_text, options_text, host, &error);
  }
  hand_on_log(state);
  if (opened == nullptr) return raised(error);
  state.engine = opened;
  state.forks = forks;
  Py_RETURN_NONE;
}

// False with an exception set. Whoever closes an engine again finds it closed.
bool close(State& state) {
  if (state.is_closed) return true;
  limitr_error* error = nullptr;
  std::uint64_t written = 0;
  int done = 0;
  {
    const Released released(state);
    done = limitr_close(state.engine, &written, &error);
  }
  hand_on_log(state);
  // The store is let go of all the same.
  state.is_closed = true;
  if (done < 0) return raised(error) != nullptr;
  state.written = written;
  return true;
}

PyObject* close(PyObject* self, PyObject*) {
  State* state = usable(self);
  if (state == nullptr || !close(*state)) return nullptr;
  return PyLong_FromUnsignedLongLong(state->written);
}

// Closes the engine and ends it, where nobody is using it: Python is about to end.
PyObject* shut_down(PyObject* self, PyObject*) {
  State* state = engine(self).state;
  if (state->engine == nullptr || state->forks != forks) Py_RETURN_NONE;
  const bool is_written = close(*state);
  PyObject* problem[3];
  PyErr_Fetch(&problem[0], &problem[1], &problem[2]);
  if (state->in_use == 0) {
    limitr_engine* ended = std::exchange(state->engine, nullptr);
    const Released released(*state);
    limitr_engine_free(ended);
  }
  hand_on_log(*state);
  state->log.close();
  PyErr_Restore(problem[0], problem[1], problem[2]);
  if (!is_written) return nullptr;
  Py_RETURN_NONE;
}

// The answer of a call as a str.
PyObject* answered(limitr_string* answer, limitr_error* error) {
  if (answer == nullptr) return raised(error);
  PyObject* json = str(limitr_string_view(answer));
  limitr_string_free(answer);
  return json;
}

PyObject* make_call(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  State* state = usable(self);
  if (state == nullptr) return nullptr;
  limitr_view name{};
  limitr_view arguments{};
  if (count != 2) return usage_error("_call() takes a name and arguments", "");
  if (!to_view(args[0], "name", name) || !to_view(args[1], "arguments", arguments)) return nullptr;
  limitr_error* error = nullptr;
  limitr_string* answer = nullptr;
  {
    const Released released(*state);
    answer = limitr_call(state->engine, name, arguments, &error);
  }
  hand_on_log(*state);
  return answered(answer, error);
}

// load_customers() with the records as they are, not inside of other JSON.
PyObject* load(PyObject* self, PyObject* records) {
  State* state = usable(self);
  limitr_view json{};
  if (state == nullptr || !to_view(records, "records", json)) return nullptr;
  limitr_error* error = nullptr;
  limitr_string* answer = nullptr;
  {
    const Released released(*state);
    answer = limitr_load_customers(state->engine, json, &error);
  }
  hand_on_log(*state);
  return answered(answer, error);
}

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  engine(self).state = new State;
  states.push_back(engine(self).state);
  return self;
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  const State* state = engine(self).state;
  if (state == nullptr) return 0;
  Py_VISIT(state->handlers.get());
  Py_VISIT(state->functions.get());
  Py_VISIT(state->log_to.get());
  return 0;
}

// What is in the way of ending the engine goes only with it: here just what may make a circle.
int clear(PyObject* self) {
  State* state = engine(self).state;
  if (state == nullptr) return 0;
  state->handlers.reset();
  state->functions.reset();
  state->log_to.reset();
  return 0;
}

void end(State* state) {
  if (state->engine != nullptr) {
    const Released released(*state);
    limitr_engine_free(std::exchange(state->engine, nullptr));
  }
  hand_on_log(*state);
  states.erase(std::find(states.begin(), states.end(), state));
  delete state;
}

void deallocate(PyObject* self) {
  PyObject_GC_UnTrack(self);
  if (engine(self).weak != nullptr) PyObject_ClearWeakRefs(self);
  State* state = std::exchange(engine(self).state, nullptr);
  if (state->engine != nullptr && state->forks != forks) {
    // Its locks may be held by threads that this process does not have: it stays as it is.
    states.erase(std::find(states.begin(), states.end(), state));
  } else if (state->engine != nullptr && is_in_callback()) {
    std::thread([state] {
      limitr_engine_free(std::exchange(state->engine, nullptr));
      const Gil gil;
      end(state);
    }).detach();
  } else {
    end(state);
  }
  Py_TYPE(self)->tp_free(self);
}

std::vector<PyMethodDef> all_methods() {
  std::vector<PyMethodDef> all = deciding_methods;
  const PyMethodDef own[] = {
      {"add_handler", add_handler, METH_VARARGS,
       "add_handler($self, name, handler, /)\n--\n\n"
       "Registers handler(key, value) for every event; one of that name is replaced.\n\n"
       "`key` is the event's type, `value` its payload as a dict (docs/events.md). It runs on the\n"
       "thread whose call caused the event, after the change. One that raises is logged; the call\n"
       "and the other handlers go on. It must not wait for another thread's call."},
      {"remove_handler", remove_handler, METH_O,
       "remove_handler($self, name, /)\n--\n\nRemoves a handler; False when there was none."},
      {"clear_handlers", clear_handlers, METH_NOARGS,
       "clear_handlers($self, /)\n--\n\nRemoves every handler."},
      {"_open", open, METH_VARARGS, nullptr},
      {"_close", close, METH_NOARGS, nullptr},
      {"_shut_down", shut_down, METH_NOARGS, nullptr},
      {"_call", method(make_call), METH_FASTCALL, nullptr},
      {"_load", load, METH_O, nullptr},
      {"_allow_async", method(allow_async), METH_FASTCALL, nullptr},
      {"_call_async", method(call_async), METH_FASTCALL, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  all.insert(all.end(), std::begin(own), std::end(own));
  return all;
}

PyTypeObject make_type() {
  static std::vector<PyMethodDef> methods = all_methods();
  PyTypeObject made = new_type();
  made.tp_name = "limitr._limitr.Engine";
  made.tp_basicsize = sizeof(Engine);
  made.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC;
  made.tp_doc = "An engine of the C interface.";
  made.tp_weaklistoffset = offsetof(Engine, weak);
  made.tp_methods = methods.data();
  made.tp_new = make;
  made.tp_traverse = traverse;
  made.tp_clear = clear;
  made.tp_dealloc = deallocate;
  return made;
}

}  // namespace

State* unusable(const State* state) {
  if (state != nullptr && state->engine != nullptr) {
    usage_error(
        "this process is a fork of the one that opened the engine, and has none of its threads: "
        "open an engine in each process, after the fork. Processes share their state in a store "
        "of Redis or PostgreSQL opened with shared=True",
        "");
  } else {
    usage_error("the engine is not open", "");
  }
  return nullptr;
}

PyTypeObject* engine_type() {
  static PyTypeObject type = make_type();
  static const bool counts_forks = pthread_atfork(nullptr, nullptr, [] { ++forks; }) == 0;
  return counts_forks ? &type : nullptr;
}

}  // namespace limitr::python
