// SPDX-License-Identifier: Apache-2.0
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <unistd.h>

#include <memory>
#include <string_view>

#include <limitr/c_api.h>

// What every file of the extension needs of CPython. The extension converts values and calls the C
// interface; nothing is decided here.
namespace limitr::python {

struct GiveBack {
  void operator()(PyObject* object) const { Py_DECREF(object); }
};
/// A reference that is ours. REQUIRES: the GIL is held whenever one goes.
using Ref = std::unique_ptr<PyObject, GiveBack>;

inline Ref shared(PyObject* object) {
  Py_XINCREF(object);
  return Ref(object);
}

/// Runs what may give the GIL away, or asks for it. A daemon thread that asks for it while Python
/// ends is ended there by pthread_exit(), which unwinds the engine's frames as well: it stays here
/// instead, until the process is gone.
template <typename Body>
auto gil_held(const Body& body) noexcept {
  try {
    return body();
  } catch (...) {
    for (;;) pause();
  }
}

/// Holds the GIL on a thread that may or may not be Python's.
class Gil {
public:
  Gil() : state_(gil_held(PyGILState_Ensure)) {}
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;
  ~Gil() { PyGILState_Release(state_); }

private:
  PyGILState_STATE state_;
};

inline limitr_view view(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view text(limitr_view view) {
  return view.size == 0 ? std::string_view() : std::string_view(view.data, view.size);
}
/// A str; null with an exception set.
inline PyObject* str(limitr_view view) {
  return PyUnicode_DecodeUTF8(view.size == 0 ? "" : view.data, static_cast<Py_ssize_t>(view.size),
                              "replace");
}

/// A type with nothing in it yet.
inline PyTypeObject new_type() {
  PyTypeObject type{};
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&type), 1);
  return type;
}

/// Calls a function of Python's; null with an exception set when it raised, or is null itself.
template <typename... Args>
Ref call(PyObject* function, Args*... args) {
  if (function == nullptr) return nullptr;
  return Ref(gil_held([&] { return PyObject_CallFunctionObjArgs(function, args..., nullptr); }));
}

/// A function for a PyMethodDef. CPython calls it as its flags say.
template <typename Function>
PyCFunction method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace limitr::python
