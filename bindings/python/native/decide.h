// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "python.h"

namespace limitr::python {

/// What a call that decides may be given. Those that a method does not take stay empty.
enum Slot : std::size_t {
  id,
  entitlement,
  value,
  event,
  overhead,
  force,
  context,
  cap,
  request,
  detail,
  slot_count
};
using Slots = std::array<PyObject*, slot_count>;

/// The options of a call, converted. What it points into is held here, or by the caller.
struct Options {
  limitr_call_options given = {};
  double overhead = 0;
  Ref event_data = {};
  Ref caps = {};
};

/// Takes the options out of `slots`; false with an exception set. `options.given` points into
/// `options`, which has to stay where it is.
bool to_options(const Slots& slots, Options& options);

/// Makes the names of arguments. False when it failed.
bool prepare_arguments();

}  // namespace limitr::python
