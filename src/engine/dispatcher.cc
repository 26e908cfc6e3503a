// SPDX-License-Identifier: Apache-2.0
#include "engine/dispatcher.h"

#include <algorithm>
#include <deque>
#include <exception>

#include <fmt/format.h>

namespace limitr::engine {

// One a dispatcher that this thread runs handlers of, innermost first: handlers of one engine may
// call another.
struct Dispatcher::Frame {
  const Dispatcher* dispatcher;
  Frame* outer;
  std::deque<Batch> waiting;

  static Frame*& innermost() {
    thread_local Frame* frame = nullptr;
    return frame;
  }
};

Dispatcher::Dispatcher(std::uint32_t lines, const HostFunctions& host, Log log)
    : lines_(lines),
      host_(host),
      log_(std::move(log)),
      handlers_(std::make_shared<const Handlers>()) {}

std::shared_ptr<const Dispatcher::Handlers> Dispatcher::handlers() const {
  const std::lock_guard lock(mutex_);
  return handlers_;
}

// REQUIRES: mutex_ is held.
void Dispatcher::set(Handlers handlers) {
  has_handlers_.store(!handlers.empty(), std::memory_order_relaxed);
  handlers_ = std::make_shared<const Handlers>(std::move(handlers));
}

void Dispatcher::add(std::string_view name, Handler handler) {
  const std::lock_guard lock(mutex_);
  Handlers handlers = *handlers_;
  const auto known = std::find_if(handlers.begin(), handlers.end(),
                                  [&](const Named& named) { return named.name == name; });
  if (known == handlers.end()) {
    handlers.push_back({std::string(name), std::move(handler)});
  } else {
    known->handler = std::move(handler);
  }
  set(std::move(handlers));
}

bool Dispatcher::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  Handlers handlers = *handlers_;
  const bool removed =
      std::erase_if(handlers, [&](const Named& named) { return named.name == name; }) > 0;
  set(std::move(handlers));
  return removed;
}

void Dispatcher::clear() {
  const std::lock_guard lock(mutex_);
  set({});
}

void Dispatcher::take_ticket(Batch& batch, std::uint32_t line) {
  batch.tickets.push_back({line, lines_[line].next++});
}

Dispatcher::Frame* Dispatcher::frame_here() const {
  Frame* frame = Frame::innermost();
  while (frame != nullptr && frame->dispatcher != this) frame = frame->outer;
  return frame;
}

void Dispatcher::run(Batch batch) {
  if (Frame* frame = frame_here()) {
    frame->waiting.push_back(std::move(batch));
    return;
  }
  Frame own{this, Frame::innermost(), {}};
  Frame::innermost() = &own;
  own.waiting.push_back(std::move(batch));
  while (!own.waiting.empty()) {
    const Batch next = std::move(own.waiting.front());
    own.waiting.pop_front();
    run_now(next);
  }
  Frame::innermost() = own.outer;
}

void Dispatcher::run_now(const Batch& batch) {
  for (const Batch::Ticket& ticket : batch.tickets) {
    std::atomic<std::uint64_t>& done = lines_[ticket.line].done;
    for (std::uint64_t served = done.load(std::memory_order_acquire); served != ticket.number;
         served = done.load(std::memory_order_acquire)) {
      done.wait(served, std::memory_order_acquire);
    }
  }
  const std::shared_ptr<const Handlers> handlers = this->handlers();
  for (const Event& event : batch.events) {
    deliver(event, *handlers);
    if (batch.policy && !batch.policy->notifications.empty()) notify(event, batch, *handlers);
  }
  for (const Batch::Ticket& ticket : batch.tickets) {
    std::atomic<std::uint64_t>& done = lines_[ticket.line].done;
    done.store(ticket.number + 1, std::memory_order_release);
    done.notify_all();
  }
}

void Dispatcher::deliver(const Event& event, const Handlers& handlers) {
  for (const Named& named : handlers) {
    try {
      named.handler(event);
    } catch (const std::exception& thrown) {
      log_(fmt::format("handler `{}` threw on {}: {}", named.name, event.type, thrown.what()));
    } catch (...) {
      log_(fmt::format("handler `{}` threw on {}", named.name, event.type));
    }
  }
}

void Dispatcher::notify(const Event& event, const Batch& batch, const Handlers& handlers) {
  for (const policy::Notification& rule : batch.policy->notifications) {
    if (std::find(rule.events.begin(), rule.events.end(), event.type) == rule.events.end())
      continue;
    const auto match = host_.notifications.find(rule.fn);
    // A rule whose condition nobody can evaluate does not match.
    if (match == host_.notifications.end() && (!rule.fn.empty() || !rule.condition.empty()))
      continue;
    try {
      if (match != host_.notifications.end() && !match->second(event)) continue;
    } catch (const std::exception& thrown) {
      log_(fmt::format("notification `{}`: its function threw: {}", rule.name, thrown.what()));
      continue;
    } catch (...) {
      log_(fmt::format("notification `{}`: its function threw", rule.name));
      continue;
    }
    Event again = event;
    again.type = rule.name;
    deliver(again, handlers);
  }
}

}  // namespace limitr::engine
