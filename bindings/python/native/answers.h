// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "python.h"

// Calls whose answers come later, for limitr.aio.
namespace limitr::python {

/// limitr._limitr.Answers: what has been answered, for one event loop. Its file descriptor becomes
/// readable when there is something; take() gives it.
///
/// The engine's own threads put answers there without the GIL: an event loop that is busy does not
/// hold the engine up, nor does the engine ask for the GIL once per answer.
PyTypeObject* answers_type();

// Methods of the engine.
// _allow_async(answers, future, detail, id, entitlement, value, event, overhead, force, context,
// cap, request)
PyObject* allow_async(PyObject* self, PyObject* const* args, Py_ssize_t count);
// _call_async(answers, future, name, arguments)
PyObject* call_async(PyObject* self, PyObject* const* args, Py_ssize_t count);

}  // namespace limitr::python
