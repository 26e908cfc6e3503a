// SPDX-License-Identifier: Apache-2.0
#include "convert.h"

#include <array>
#include <cmath>
#include <string>

namespace limitr::python {
namespace {

constexpr std::array reasons = {
    "unknown_customer", "unknown_entitlement", "no_scope_customer", "cap", "governor", "limit",
    "voucher",          "unconnected"};

enum Field : std::size_t {
  allowed,
  repeated,
  reason,
  cap,
  value,
  limit,
  remaining,
  resets,
  overage,
  grant_value_applied,
  overhead,
  price_diff,
  overage_price,
  field_count
};
constexpr std::array<const char*, field_count> field_texts = {
    "allowed",  "repeated",   "reason",       "cap",     "value",
    "limit",    "remaining",  "resets",       "overage", "grant_value_applied",
    "overhead", "price_diff", "overage_price"};

std::array<PyObject*, field_count> field_names{};
std::array<PyObject*, reasons.size()> reason_names{};

// Interned once, and kept as long as the process.
template <std::size_t N>
bool intern(const std::array<const char*, N>& texts, std::array<PyObject*, N>& names) {
  for (std::size_t i = 0; i < N; ++i) {
    names[i] = PyUnicode_InternFromString(texts[i]);
    if (names[i] == nullptr) return false;
  }
  return true;
}

PyObject* none() {
  Py_INCREF(Py_None);
  return Py_None;
}

PyObject* number_or_none(double number) {
  return std::isnan(number) ? none() : PyFloat_FromDouble(number);
}

PyObject* reason_of(int reason) {
  if (reason < 1 || static_cast<std::size_t>(reason) > reasons.size()) return none();
  PyObject* name = reason_names[static_cast<std::size_t>(reason) - 1];
  Py_INCREF(name);
  return name;
}

PyObject* cap_of(const limitr_decision& decision) {
  if (decision.cap_customer.data == nullptr) return none();
  Ref id(decision.cap.data == nullptr ? none() : str(decision.cap));
  Ref customer(str(decision.cap_customer));
  if (!id || !customer) return nullptr;
  return Py_BuildValue("{sOsO}", "id", id.get(), "customer", customer.get());
}

// Takes `object`, which may be null: it failed.
bool put(PyObject* dict, Field field, PyObject* object) {
  const Ref held(object);
  return held && PyDict_SetItem(dict, field_names[field], held.get()) == 0;
}

// Text that is no Unicode, such as half of a surrogate pair, and numbers beyond a double are bad
// input, not bad types.
bool bad_input(const char* message, const char* argument) {
  PyErr_Clear();
  usage_error(message, argument);
  return false;
}

}  // namespace

PyObject* hook(const char* name) {
  static PyObject* hooks = nullptr;
  if (hooks == nullptr) hooks = PyImport_ImportModule("limitr._hooks");
  if (hooks == nullptr) return nullptr;
  PyObject* function = PyObject_GetAttrString(hooks, name);
  // The module keeps what it defines.
  Py_XDECREF(function);
  return function;
}

PyObject* exception_of(std::string_view name, std::string_view message, std::string_view where) {
  PyObject* make = hook("error");
  if (make == nullptr) return nullptr;
  const Ref code(str(view(name)));
  const Ref what(str(view(message)));
  const Ref place(str(view(where)));
  if (!code || !what || !place) return nullptr;
  return call(make, code.get(), what.get(), place.get()).release();
}

PyObject* raised(limitr_error* error) {
  const Ref exception(exception_of(text(limitr_error_name(error)),
                                   text(limitr_error_message(error)),
                                   text(limitr_error_where(error))));
  limitr_error_free(error);
  if (exception) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
  }
  return nullptr;
}

PyObject* usage_error(const char* message, const char* where) {
  const Ref exception(exception_of("invalid_argument", message, where));
  if (exception) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
  }
  return nullptr;
}

bool wrong_type(const char* argument, const char* wanted, PyObject* given) {
  PyErr_Format(PyExc_TypeError, "%s must be %s, not %.100s", argument, wanted,
               Py_TYPE(given)->tp_name);
  return false;
}

bool to_view(PyObject* object, const char* argument, limitr_view& into) {
  if (!PyUnicode_Check(object)) return wrong_type(argument, "str", object);
  Py_ssize_t size = 0;
  into.data = PyUnicode_AsUTF8AndSize(object, &size);
  into.size = static_cast<std::size_t>(size);
  if (into.data != nullptr) return true;
  return PyErr_ExceptionMatches(PyExc_UnicodeError)
             ? bad_input("the text is not valid Unicode", argument)
             : false;
}

bool to_number(PyObject* object, const char* argument, double& into) {
  if (PyFloat_CheckExact(object)) {
    into = PyFloat_AS_DOUBLE(object);
    return true;
  }
  const PyNumberMethods* number = Py_TYPE(object)->tp_as_number;
  if (PyBool_Check(object) || number == nullptr ||
      (number->nb_float == nullptr && number->nb_index == nullptr)) {
    return wrong_type(argument, "a number", object);
  }
  into = PyFloat_AsDouble(object);
  if (into != -1.0 || PyErr_Occurred() == nullptr) return true;
  return PyErr_ExceptionMatches(PyExc_OverflowError)
             ? bad_input("the number is too large", argument)
             : false;
}

bool to_value(PyObject* object, const char* argument, limitr_value& into) {
  into.text = {nullptr, 0};
  if (!PyUnicode_Check(object)) {
    if (PyBool_Check(object) || Py_TYPE(object)->tp_as_number == nullptr)
      return wrong_type(argument, "a number or str", object);
    return to_number(object, argument, into.number);
  }
  into.number = 0;
  if (!to_view(object, argument, into.text)) return false;
  // The C interface takes an empty text for none.
  return into.text.size != 0 ||
         bad_input("the text is empty: give a number, or a quantity", argument);
}

bool to_flag(PyObject* object, const char* argument, bool& into) {
  if (!PyBool_Check(object)) return wrong_type(argument, "True or False", object);
  into = object == Py_True;
  return true;
}

Ref json_of(PyObject* object, const char* argument) {
  PyObject* dumps = hook("dumps");
  const Ref name(dumps == nullptr ? nullptr : PyUnicode_FromString(argument));
  if (!name) return nullptr;
  return call(dumps, object, name.get());
}

bool prepare_decisions() {
  return intern(field_texts, field_names) && intern(reasons, reason_names);
}

PyObject* dict_of(const limitr_decision& decision) {
  Ref dict(PyDict_New());
  PyObject* into = dict.get();
  const bool is_done =
      into != nullptr && put(into, allowed, PyBool_FromLong(decision.allowed)) &&
      put(into, repeated, PyBool_FromLong(decision.repeated)) &&
      put(into, reason, reason_of(decision.reason)) && put(into, cap, cap_of(decision)) &&
      put(into, value, number_or_none(decision.value)) &&
      put(into, limit, number_or_none(decision.limit)) &&
      put(into, remaining, number_or_none(decision.remaining)) &&
      put(into, resets,
          decision.resets == LIMITR_NO_TIME ? none() : PyLong_FromLongLong(decision.resets)) &&
      put(into, overage, number_or_none(decision.overage)) &&
      put(into, grant_value_applied, number_or_none(decision.grant_value_applied)) &&
      put(into, overhead, number_or_none(decision.overhead)) &&
      put(into, price_diff, number_or_none(decision.price_diff)) &&
      put(into, overage_price, number_or_none(decision.overage_price));
  return is_done ? dict.release() : nullptr;
}

}  // namespace limitr::python
