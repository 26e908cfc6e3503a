// SPDX-License-Identifier: Apache-2.0
#include "answers.h"
#include "clock.h"
#include "convert.h"
#include "decide.h"
#include "engine.h"

// limitr._limitr: the C interface for Python.
namespace limitr::python {
namespace {

PyObject* text_of(limitr_string* answer, limitr_error* error) {
  if (answer == nullptr) return raised(error);
  PyObject* made = str(limitr_string_view(answer));
  limitr_string_free(answer);
  return made;
}

// Runs `make` with the GIL released: a policy may be large.
template <typename Make>
PyObject* of_policies(const Make& make) {
  limitr_error* error = nullptr;
  limitr_string* answer = nullptr;
  PyThreadState* thread = PyEval_SaveThread();
  answer = make(&error);
  PyEval_RestoreThread(thread);
  return text_of(answer, error);
}

PyObject* version(PyObject*, PyObject*) { return str(limitr_version()); }

PyObject* calls(PyObject*, PyObject*) {
  limitr_string* names = limitr_calls();
  return names == nullptr ? PyErr_NoMemory() : text_of(names, nullptr);
}

PyObject* validate(PyObject*, PyObject* args) {
  PyObject* policy = nullptr;
  PyObject* options = nullptr;
  limitr_view policy_text{};
  limitr_view options_text{};
  if (!PyArg_ParseTuple(args, "OO:validate", &policy, &options) ||
      !to_view(policy, "policy", policy_text) || !to_view(options, "options", options_text))
    return nullptr;
  return of_policies(
      [&](limitr_error** error) { return limitr_validate(policy_text, options_text, error); });
}

PyObject* difference(PyObject*, PyObject* args) {
  PyObject* before = nullptr;
  PyObject* before_options = nullptr;
  PyObject* after = nullptr;
  PyObject* after_options = nullptr;
  limitr_view old_text{};
  limitr_view old_options{};
  limitr_view new_text{};
  limitr_view new_options{};
  if (!PyArg_ParseTuple(args, "OOOO:difference", &before, &before_options, &after,
                        &after_options) ||
      !to_view(before, "before", old_text) || !to_view(before_options, "options", old_options) ||
      !to_view(after, "after", new_text) || !to_view(after_options, "options", new_options))
    return nullptr;
  return of_policies([&](limitr_error** error) {
    return limitr_difference(old_text, old_options, new_text, new_options, error);
  });
}

PyMethodDef methods[] = {{"version", version, METH_NOARGS, nullptr},
                         {"calls", calls, METH_NOARGS, nullptr},
                         {"validate", validate, METH_VARARGS, nullptr},
                         {"difference", difference, METH_VARARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "limitr._limitr",
                          "The C interface of limitr.",
                          -1,
                          methods,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};

bool add_type(PyObject* module, const char* name, PyTypeObject* type) {
  if (type == nullptr || PyType_Ready(type) < 0) return false;
  auto* object = reinterpret_cast<PyObject*>(type);
  Py_INCREF(object);
  if (PyModule_AddObject(module, name, object) == 0) return true;
  Py_DECREF(object);
  return false;
}

}  // namespace

PyObject* make_module() {
  // Looked for now: a callback may come in the middle of an import, or when there are none any
  // more.
  if (hook("loads") == nullptr) return nullptr;
  if (!prepare_decisions() || !prepare_arguments()) return nullptr;
  Ref module(PyModule_Create(&definition));
  const bool is_made = module && add_type(module.get(), "Engine", engine_type()) &&
                       add_type(module.get(), "Answers", answers_type()) &&
                       add_type(module.get(), "ManualClock", manual_clock_type());
  return is_made ? module.release() : nullptr;
}

}  // namespace limitr::python

// NOLINTNEXTLINE(bugprone-reserved-identifier): the name that CPython looks for.
PyMODINIT_FUNC PyInit__limitr() { return limitr::python::make_module(); }
