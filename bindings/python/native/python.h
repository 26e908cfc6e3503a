// SPDX-License-Identifier: Apache-2.0
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

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

/// Holds the GIL on a thread that may or may not be Python's.
class Gil {
public:
  Gil() : state_(PyGILState_Ensure()) {}
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

/// A function for a PyMethodDef. CPython calls it as its flags say.
template <typename Function>
PyCFunction method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace limitr::python
