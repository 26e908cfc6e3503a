// SPDX-License-Identifier: Apache-2.0
#include "answers.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "convert.h"
#include "decide.h"
#include "engine.h"

namespace limitr::python {
namespace {

struct Failure {
  std::string name;
  std::string message;
  std::string where;
};

class Queue;

/// A call on its way, then its answer.
struct Pending {
  std::shared_ptr<Queue> queue;
  PyObject* future;  // ours; given back under the GIL
  bool is_detailed;
  std::optional<Failure> failure = {};
  limitr_decision decision = {};
  std::string cap = {};  // what the decision's texts point to
  std::string cap_customer = {};
  std::optional<std::string> json = {};
};

void discard(Pending* pending) {
  Py_DECREF(pending->future);
  delete pending;
}

class Queue {
public:
  Queue() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue() {
    if (event_ >= 0) ::close(event_);
  }

  int file() const { return event_; }

  /// Takes the answer over. Needs no GIL while anyone is there to take it.
  void put(Pending* answered) {
    {
      const std::lock_guard lock(mutex_);
      if (!is_closed_) {
        answered_.push_back(answered);
        if (answered_.size() == 1) wake();
        return;
      }
    }
    const Gil gil;
    discard(answered);
  }

  std::vector<Pending*> take() {
    const std::lock_guard lock(mutex_);
    std::uint64_t count = 0;
    // Nothing to read is as good: the list says what there is.
    if (read(event_, &count, sizeof(count)) < 0) count = 0;
    return std::exchange(answered_, {});
  }

  std::vector<Pending*> close() {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    return std::exchange(answered_, {});
  }

private:
  void wake() {
    const std::uint64_t one = 1;
    // The counter cannot be full: it is read before the list is empty again.
    static_cast<void>(!write(event_, &one, sizeof(one)));
  }

  const int event_;
  std::mutex mutex_;
  std::vector<Pending*> answered_;  // guarded by mutex_
  bool is_closed_ = false;          // guarded by mutex_
};

struct Answers {
  PyObject_HEAD std::shared_ptr<Queue> queue;
};

Answers& answers(PyObject* self) { return *reinterpret_cast<Answers*>(self); }

Failure failure_of(const limitr_error* error) {
  return {std::string(text(limitr_error_name(error))),
          std::string(text(limitr_error_message(error))),
          std::string(text(limitr_error_where(error)))};
}

void hand_over(Pending* pending) {
  // The queue may be gone with its last call.
  const std::shared_ptr<Queue> queue = pending->queue;
  queue->put(pending);
}

void on_decision(void* data, const limitr_decision* decision, const limitr_error* error) {
  auto* pending = static_cast<Pending*>(data);
  if (error != nullptr) {
    pending->failure = failure_of(error);
  } else {
    pending->decision = *decision;
    // The texts end with this callback.
    const auto keep = [](limitr_view& view, std::string& kept) {
      if (view.data == nullptr) return;
      kept = text(view);
      view.data = kept.data();
    };
    keep(pending->decision.cap, pending->cap);
    keep(pending->decision.cap_customer, pending->cap_customer);
  }
  hand_over(pending);
}

void on_answer(void* data, limitr_view answer, const limitr_error* error) {
  auto* pending = static_cast<Pending*>(data);
  if (error != nullptr) {
    pending->failure = failure_of(error);
  } else {
    pending->json = std::string(text(answer));
  }
  hand_over(pending);
}

// What the future is given; null with an exception set.
PyObject* result_of(const Pending& pending) {
  if (pending.json) return str(view(*pending.json));
  return pending.is_detailed ? dict_of(pending.decision)
                             : PyBool_FromLong(pending.decision.allowed);
}

PyObject* entry_of(const Pending& pending) {
  if (pending.failure) {
    const Failure& failure = *pending.failure;
    const Ref error(exception_of(failure.name, failure.message, failure.where));
    return error ? PyTuple_Pack(3, pending.future, Py_None, error.get()) : nullptr;
  }
  const Ref result(result_of(pending));
  return result ? PyTuple_Pack(3, pending.future, result.get(), Py_None) : nullptr;
}

// A list of (future, result, exception).
PyObject* take(PyObject* self, PyObject*) {
  const std::vector<Pending*> answered = answers(self).queue->take();
  Ref list(PyList_New(0));
  for (Pending* pending : answered) {
    const Ref entry(list ? entry_of(*pending) : nullptr);
    if (!entry || PyList_Append(list.get(), entry.get()) < 0) list.reset();
    discard(pending);
  }
  return list.release();
}

PyObject* fileno(PyObject* self, PyObject*) { return PyLong_FromLong(answers(self).queue->file()); }

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  new (&answers(self).queue) std::shared_ptr<Queue>(std::make_shared<Queue>());
  if (answers(self).queue->file() >= 0) return self;
  Py_DECREF(self);
  return PyErr_SetFromErrno(PyExc_OSError);
}

void deallocate(PyObject* self) {
  for (Pending* pending : answers(self).queue->close()) discard(pending);
  answers(self).queue.~shared_ptr();
  Py_TYPE(self)->tp_free(self);
}

PyMethodDef methods[] = {{"fileno", fileno, METH_NOARGS, nullptr},
                         {"take", take, METH_NOARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};

PyTypeObject type = [] {
  PyTypeObject made = new_type();
  made.tp_name = "limitr._limitr.Answers";
  made.tp_basicsize = sizeof(Answers);
  made.tp_flags = Py_TPFLAGS_DEFAULT;
  made.tp_methods = methods;
  made.tp_new = make;
  made.tp_dealloc = deallocate;
  return made;
}();

Pending* pending_for(PyObject* of, PyObject* future, bool is_detailed) {
  Py_INCREF(future);
  return new Pending{.queue = answers(of).queue, .future = future, .is_detailed = is_detailed};
}

}  // namespace

PyTypeObject* answers_type() { return &type; }

PyObject* allow_async(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  State* state = usable(self);
  if (state == nullptr) return nullptr;
  constexpr std::size_t before = 3;  // answers, future, detail
  if (count != static_cast<Py_ssize_t>(before + slot_count - 1))
    return usage_error("_allow_async() takes all arguments of allow()", "");
  Slots slots{};
  std::copy_n(args + before, slot_count - 1, slots.begin());
  bool is_detailed = false;
  limitr_view customer{};
  limitr_view name{};
  limitr_value amount{};
  Options options;
  if (!to_flag(args[2], "detail", is_detailed) || !to_view(slots[id], "id", customer) ||
      !to_view(slots[entitlement], "entitlement", name) ||
      !to_value(slots[value], "value", amount) || !to_options(slots, options))
    return nullptr;
  Pending* pending = pending_for(args[0], args[1], is_detailed);
  {
    const Released released(*state);
    limitr_allow_async(state->engine, customer, name, amount, &options.given, on_decision, pending);
  }
  hand_on_log(*state);
  Py_RETURN_NONE;
}

PyObject* call_async(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  State* state = usable(self);
  if (state == nullptr) return nullptr;
  if (count != 4) return usage_error("_call_async() takes 4 arguments", "");
  limitr_view name{};
  limitr_view arguments{};
  if (!to_view(args[2], "name", name) || !to_view(args[3], "arguments", arguments)) return nullptr;
  Pending* pending = pending_for(args[0], args[1], false);
  {
    const Released released(*state);
    limitr_call_async(state->engine, name, arguments, on_answer, pending);
  }
  hand_on_log(*state);
  Py_RETURN_NONE;
}

}  // namespace limitr::python
