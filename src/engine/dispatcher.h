// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/inlined_vector.h>

#include <limitr/event.h>
#include "policy/policy.h"

namespace limitr::engine {

/// Hands events to handlers, outside every lock of the engine, in the order of each customer's
/// changes.
///
/// Each call that has events takes a ticket in the line of every shard it has locked, while it
/// holds those locks, and runs its handlers when it is first in all of its lines. Since tickets are
/// taken together, no two calls ever wait for each other. A call made from a handler takes its
/// tickets too, but runs after the handlers of the call that it was made from.
/// Threads: any.
class Dispatcher {
public:
  using Log = std::function<void(std::string_view)>;

  /// The events of one call, and its place in the lines.
  struct Batch {
    std::vector<Event> events;
    struct Ticket {
      std::uint32_t line;
      std::uint64_t number;
    };
    absl::InlinedVector<Ticket, 4> tickets;
    std::shared_ptr<const policy::Policy> policy;  ///< For its notifications; may be null.
  };

  Dispatcher(std::uint32_t lines, const HostFunctions& host, Log log);

  /// Whether any handler is there at all. Cheap.
  bool has_handlers() const { return has_handlers_.load(std::memory_order_relaxed); }
  void add(std::string_view name, Handler handler);
  bool remove(std::string_view name);
  void clear();

  /// REQUIRES: the lock of that line's shard is held.
  void take_ticket(Batch& batch, std::uint32_t line);
  /// Runs the batch when its turn has come, or leaves it to the call that this thread is in the
  /// middle of. REQUIRES: no lock of the engine is held.
  void run(Batch batch);
  /// Whether this thread is in the middle of a handler: nobody behind it in line goes on before.
  bool is_running_here() const { return frame_here() != nullptr; }

private:
  struct Line {
    std::uint64_t next = 0;  // guarded by the shard's lock
    std::atomic<std::uint64_t> done{0};
  };
  struct Named {
    std::string name;
    Handler handler;
  };
  using Handlers = std::vector<Named>;
  struct Frame;  // a thread that is running batches of some dispatcher

  Frame* frame_here() const;
  std::shared_ptr<const Handlers> handlers() const;
  void set(Handlers handlers);
  void run_now(const Batch& batch);
  void deliver(const Event& event, const Handlers& handlers);
  void notify(const Event& event, const Batch& batch, const Handlers& handlers);

  std::vector<Line> lines_;
  const HostFunctions& host_;
  const Log log_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Handlers> handlers_;  // guarded by mutex_
  std::atomic<bool> has_handlers_{false};
};

}  // namespace limitr::engine
