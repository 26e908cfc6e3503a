// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python.h"

// Values and errors on their way between Python and the C interface. Where a function says that it
// failed, an exception is set.
namespace limitr::python {

/// A function of limitr/_hooks.py, borrowed; null when it failed.
PyObject* hook(const char* name);

/// Raises what `error` says, and frees it. Gives NULL, for `return raised(error)`.
PyObject* raised(limitr_error* error);
/// The exception for an error. Null when it failed.
PyObject* exception_of(std::string_view name, std::string_view message, std::string_view where);
/// Raises limitr.UsageError. Gives NULL.
PyObject* usage_error(const char* message, const char* where);

/// Raises a TypeError that names the argument. Gives false.
bool wrong_type(const char* argument, const char* wanted, PyObject* given);
/// Points into `object`, which has to stay.
bool to_view(PyObject* object, const char* argument, limitr_view& into);
/// A number, or text with a unit, which points into `object`.
bool to_value(PyObject* object, const char* argument, limitr_value& into);
bool to_number(PyObject* object, const char* argument, double& into);
bool to_flag(PyObject* object, const char* argument, bool& into);
/// `object` as JSON: a str, which is ours. Null when it failed.
Ref json_of(PyObject* object, const char* argument);

/// A decision as a dict of all its fields. Null when it failed.
PyObject* dict_of(const limitr_decision& decision);
/// Makes the names of its fields. False when it failed.
bool prepare_decisions();

}  // namespace limitr::python
