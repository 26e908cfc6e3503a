// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "python.h"

namespace limitr::python {

/// limitr.ManualClock: a clock that stands still until it is set. The engine reads the number,
/// nothing of Python runs for it.
struct ManualClock {
  PyObject_HEAD std::atomic<std::int64_t> now;
};

PyTypeObject* manual_clock_type();

/// `data`: a ManualClock.
std::int64_t read_clock(void* data);

}  // namespace limitr::python
