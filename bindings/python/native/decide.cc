// SPDX-License-Identifier: Apache-2.0
#include "decide.h"

#include <algorithm>

#include "convert.h"
#include "engine.h"

// The calls that are made most: straight from Python's arguments to the C interface.
namespace limitr::python {
namespace {

constexpr std::array<const char*, slot_count> slot_texts = {
    "id",    "entitlement", "value", "event",   "overhead",
    "force", "context",     "cap",   "request", "detail"};
std::array<PyObject*, slot_count> slot_names{};

// A value of its own kind, and one that has none: what a method says of itself.
struct Call {
  const char* name;
  bool takes_value;
  bool needs_value;
  bool is_detailed;  // It gives the whole decision, and takes no `detail`.
  decltype(&limitr_allow) with_value;
  decltype(&limitr_increment) without_value;
};

constexpr Call allow_call = {"allow", true, false, false, limitr_allow, nullptr};
constexpr Call check_call = {"check", true, false, false, limitr_check, nullptr};
constexpr Call decide_call = {"decide", true, false, true, limitr_allow, nullptr};
constexpr Call set_call = {"set", true, true, false, limitr_set, nullptr};
constexpr Call increment_call = {"increment", false, false, false, nullptr, limitr_increment};
constexpr Call decrement_call = {"decrement", false, false, false, nullptr, limitr_decrement};
constexpr Call check_increment_call = {"check_increment",     false, false, false, nullptr,
                                       limitr_check_increment};
constexpr Call check_decrement_call = {"check_decrement",     false, false, false, nullptr,
                                       limitr_check_decrement};

constexpr std::size_t last_positional = force;

// The slot of the argument at `position`.
std::size_t slot_at(const Call& call, std::size_t position) {
  return !call.takes_value && position >= value ? position + 1 : position;
}

bool find_slot(const Call& call, PyObject* name, std::size_t& slot) {
  for (slot = 0; slot < slot_count; ++slot)
    if (slot_names[slot] == name) break;
  for (std::size_t i = 0; slot == slot_count && i < slot_count; ++i)
    if (PyUnicode_Compare(name, slot_names[i]) == 0) slot = i;
  return slot != slot_count && (slot != value || call.takes_value) &&
         (slot != detail || !call.is_detailed);
}

bool take_keyword(const Call& call, PyObject* name, PyObject* given, Slots& slots) {
  std::size_t slot = 0;
  if (!find_slot(call, name, slot)) {
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", call.name, name);
    return false;
  }
  if (slots[slot] != nullptr) {
    PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", call.name, name);
    return false;
  }
  slots[slot] = given;
  return true;
}

// Puts the arguments in their slots.
bool gather(const Call& call, PyObject* const* args, std::size_t count, PyObject* names,
            Slots& slots) {
  const std::size_t most = last_positional + (call.takes_value ? 1 : 0);
  if (count > most) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %zu positional arguments (%zu given)",
                 call.name, most, count);
    return false;
  }
  for (std::size_t i = 0; i < count; ++i) slots[slot_at(call, i)] = args[i];
  const Py_ssize_t keywords = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t i = 0; i < keywords; ++i) {
    if (!take_keyword(call, PyTuple_GET_ITEM(names, i), args[count + static_cast<std::size_t>(i)],
                      slots))
      return false;
  }
  for (const std::size_t slot : {id, entitlement, value}) {
    if (slots[slot] != nullptr || (slot == value && !call.needs_value)) continue;
    PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", call.name,
                 slot_texts[slot]);
    return false;
  }
  return true;
}

// What is None was not given.
PyObject* given(const Slots& slots, Slot slot) {
  return slots[slot] == Py_None ? nullptr : slots[slot];
}

bool is_plain(const Slots& slots) {
  return std::all_of(slots.begin() + event, slots.end(),
                     [](const PyObject* slot) { return slot == nullptr || slot == Py_None; });
}

bool take_json(PyObject* object, const char* argument, Ref& held, limitr_view& into) {
  if (!PyUnicode_Check(object)) {
    held = json_of(object, argument);
    object = held.get();
  }
  return object != nullptr && to_view(object, argument, into);
}

bool take_event(PyObject* object, Options& options) {
  if (PyBool_Check(object)) {
    options.given.silent = object == Py_True ? 0 : 1;
    return true;
  }
  if (!PyDict_Check(object) && !PyUnicode_Check(object))
    return wrong_type("event", "True, False or a dict", object);
  return take_json(object, "event", options.event_data, options.given.event_data);
}

// Makes the call, with the GIL where nothing can be in its way.
template <const Call& call>
int make(State& state, limitr_view customer, limitr_view name, limitr_value amount,
         const limitr_call_options* options, limitr_decision* decision, limitr_error** error) {
  const auto decided = [&] {
    if constexpr (call.takes_value) {
      return call.with_value(state.engine, customer, name, amount, options, decision, error);
    } else {
      return call.without_value(state.engine, customer, name, options, decision, error);
    }
  };
  if (!state.is_waited_for) return decided();
  const Released released(state);
  return decided();
}

template <const Call& call>
PyObject* answer(State& state, const Slots& slots, const limitr_call_options* options,
                 bool is_detailed) {
  limitr_view customer{};
  limitr_view name{};
  limitr_value amount{0, {nullptr, 0}};
  if (!to_view(slots[id], "id", customer) || !to_view(slots[entitlement], "entitlement", name))
    return nullptr;
  if (call.takes_value && slots[value] != nullptr && !to_value(slots[value], "value", amount))
    return nullptr;
  limitr_decision decision;
  limitr_error* error = nullptr;
  const int allowed =
      make<call>(state, customer, name, amount, options, is_detailed ? &decision : nullptr, &error);
  PyObject* result = nullptr;
  if (allowed < 0) {
    raised(error);
  } else {
    result = is_detailed ? dict_of(decision) : PyBool_FromLong(allowed);
  }
  hand_on_log(state);
  return result;
}

template <const Call& call>
PyObject* decide(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  State* state = usable(self);
  if (state == nullptr) return nullptr;
  Slots slots{};
  constexpr Py_ssize_t plain = call.takes_value ? 3 : 2;
  if (names == nullptr && count == plain) {
    std::copy_n(args, plain, slots.begin());
    return answer<call>(*state, slots, nullptr, call.is_detailed);
  }
  if (!gather(call, args, static_cast<std::size_t>(count), names, slots)) return nullptr;
  bool is_detailed = call.is_detailed;
  if (given(slots, detail) != nullptr && !to_flag(slots[detail], "detail", is_detailed))
    return nullptr;
  slots[detail] = nullptr;
  if (is_plain(slots)) return answer<call>(*state, slots, nullptr, is_detailed);
  Options options;
  if (!to_options(slots, options)) return nullptr;
  return answer<call>(*state, slots, &options.given, is_detailed);
}

template <const Call& call>
PyMethodDef defined(const char* doc) {
  return {call.name, method(decide<call>), METH_FASTCALL | METH_KEYWORDS, doc};
}

#define LIMITR_PYTHON_OPTIONS \
  "event=True, overhead=None, force=False, *, context=None, cap=None, request=None"

constexpr const char* allow_doc =
    "allow($self, id, entitlement, value=0, " LIMITR_PYTHON_OPTIONS
    ", detail=False)\n--\n\n"
    "Whether the customer may use so much of the entitlement now; if so, it is metered.\n\n"
    "    value     a number, or text with a unit ('2 MB'); negative gives usage back\n"
    "    event     False: the call sends no events. A dict: data for events and cost functions\n"
    "    overhead  what the call really cost you, in runes; None: as the policy says\n"
    "    force     it already happened: record it whatever it breaks\n"
    "    context   the same as a dict for `event`\n"
    "    cap       a spend cap for this call: {'value': 3}, {'usd': 3}, or a list of such\n"
    "    request   an ID under which the call counts once, however often it is made\n"
    "    detail    give the whole decision, a dict, instead of True or False\n\n"
    "A denial is an answer. Bad input raises limitr.UsageError, and a store that fails\n"
    "limitr.StoreError; nothing has changed then. See docs/calls.md.";
constexpr const char* check_doc =
    "check($self, id, entitlement, value=0, " LIMITR_PYTHON_OPTIONS
    ", detail=False)\n--\n\n"
    "What allow() would answer now; meters nothing.\n\n"
    "Do not check and then allow: another call may come between. allow() does both in one step.";
constexpr const char* decide_doc =
    "decide($self, id, entitlement, value=0, " LIMITR_PYTHON_OPTIONS
    ")\n--\n\n"
    "allow() that gives the whole decision as a dict: allowed, reason, remaining, resets, ...";
constexpr const char* set_doc = "set($self, id, entitlement, value, " LIMITR_PYTHON_OPTIONS
                                ", detail=False)\n--\n\n"
                                "allow() by as much as takes the meter to `value`.";
constexpr const char* increment_doc = "increment($self, id, entitlement, " LIMITR_PYTHON_OPTIONS
                                      ", detail=False)\n--\n\n"
                                      "allow() by the limit's increment; denied without a limit.";
constexpr const char* decrement_doc = "decrement($self, id, entitlement, " LIMITR_PYTHON_OPTIONS
                                      ", detail=False)\n--\n\n"
                                      "Gives the limit's increment back; denied without a limit.";
constexpr const char* check_increment_doc =
    "check_increment($self, id, entitlement, " LIMITR_PYTHON_OPTIONS
    ", detail=False)\n--\n\n"
    "What increment() would answer now; meters nothing.";
constexpr const char* check_decrement_doc =
    "check_decrement($self, id, entitlement, " LIMITR_PYTHON_OPTIONS
    ", detail=False)\n--\n\n"
    "What decrement() would answer now; meters nothing.";

}  // namespace

bool prepare_arguments() {
  for (std::size_t i = 0; i < slot_count; ++i) {
    slot_names[i] = PyUnicode_InternFromString(slot_texts[i]);
    if (slot_names[i] == nullptr) return false;
  }
  return true;
}

bool to_options(const Slots& slots, Options& options) {
  if (PyObject* object = given(slots, context)) {
    if (!PyDict_Check(object) && !PyUnicode_Check(object))
      return wrong_type("context", "a dict", object);
    if (!take_json(object, "context", options.event_data, options.given.event_data)) return false;
  }
  if (PyObject* object = given(slots, event); object && !take_event(object, options)) return false;
  if (PyObject* object = given(slots, overhead)) {
    if (!to_number(object, "overhead", options.overhead)) return false;
    options.given.overhead = &options.overhead;
  }
  if (PyObject* object = given(slots, force)) {
    bool is_forced = false;
    if (!to_flag(object, "force", is_forced)) return false;
    options.given.force = is_forced ? 1 : 0;
  }
  if (PyObject* object = given(slots, cap)) {
    if (!PyDict_Check(object) && !PyList_Check(object))
      return wrong_type("cap", "a dict or a list", object);
    if (!take_json(object, "cap", options.caps, options.given.caps)) return false;
  }
  PyObject* object = given(slots, request);
  return object == nullptr || to_view(object, "request", options.given.request);
}

const std::vector<PyMethodDef> deciding_methods = {
    defined<allow_call>(allow_doc),
    defined<check_call>(check_doc),
    defined<decide_call>(decide_doc),
    defined<set_call>(set_doc),
    defined<increment_call>(increment_doc),
    defined<decrement_call>(decrement_doc),
    defined<check_increment_call>(check_increment_doc),
    defined<check_decrement_call>(check_decrement_doc)};

}  // namespace limitr::python
