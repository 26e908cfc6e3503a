// SPDX-License-Identifier: Apache-2.0
#include "clock.h"

#include <new>

namespace limitr::python {
namespace {

ManualClock& clock(PyObject* self) { return *reinterpret_cast<ManualClock*>(self); }

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self != nullptr) new (&clock(self).now) std::atomic<std::int64_t>(0);
  return self;
}

// Times are whole numbers of milliseconds.
bool to_ms(PyObject* object, std::int64_t& ms) {
  ms = PyLong_AsLongLong(object);
  return ms != -1 || PyErr_Occurred() == nullptr;
}

int init(PyObject* self, PyObject* args, PyObject* keywords) {
  static char name[] = "now";
  static char* names[] = {name, nullptr};
  long long now = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|L:ManualClock", names, &now)) return -1;
  clock(self).now = now;
  return 0;
}

PyObject* get_now(PyObject* self, void*) { return PyLong_FromLongLong(clock(self).now); }

PyObject* set(PyObject* self, PyObject* now) {
  std::int64_t ms = 0;
  if (!to_ms(now, ms)) return nullptr;
  clock(self).now = ms;
  Py_RETURN_NONE;
}

PyObject* advance(PyObject* self, PyObject* by) {
  std::int64_t ms = 0;
  if (!to_ms(by, ms)) return nullptr;
  clock(self).now += ms;
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"set", set, METH_O, "set($self, now, /)\n--\n\nThe time is now `now`, in ms since 1970."},
    {"advance", advance, METH_O, "advance($self, ms, /)\n--\n\n`ms` milliseconds go by."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef properties[] = {
    {"now", get_now, nullptr, "What the clock shows, in ms since 1970.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyTypeObject type = [] {
  PyTypeObject made = new_type();
  made.tp_name = "limitr.ManualClock";
  made.tp_basicsize = sizeof(ManualClock);
  made.tp_flags = Py_TPFLAGS_DEFAULT;
  made.tp_doc =
      "ManualClock(now=0)\n--\n\n"
      "A clock for tests, in ms since 1970: it stands still until it is set.";
  made.tp_methods = methods;
  made.tp_getset = properties;
  made.tp_new = make;
  made.tp_init = init;
  return made;
}();

}  // namespace

PyTypeObject* manual_clock_type() { return &type; }

std::int64_t read_clock(void* data) { return static_cast<ManualClock*>(data)->now; }

}  // namespace limitr::python
