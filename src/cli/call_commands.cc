// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "call/time_text.h"
#include "cli/command.h"
#include "cli/store_commands.h"
#include "cli/terminal.h"

// One call from a shell: the engine is opened for it, decides, writes, and is closed before the
// answer is printed. So what is printed is kept.
namespace limitr::cli {
namespace {

std::string number(double amount) { return to_json_text(amount); }

/// Why it was denied: "limit", "cap `monthly` of acme".
std::string reason_text(const Decision& decision) {
  if (!decision.reason) return "";
  std::string text(to_string(*decision.reason));
  if (!decision.cap) return text;
  if (decision.cap->id) text += fmt::format(" `{}`", *decision.cap->id);
  return text + " of " + decision.cap->customer;
}

/// Where the meter stands: "7 of 5 used, 2 over, resets 2026-04-01T00:00:00Z".
std::string meter_text(const Decision& decision) {
  std::string text;
  const auto add = [&](const std::string& part) {
    if (!text.empty()) text += ", ";
    text += part;
  };
  if (decision.value) {
    add(number(*decision.value) +
        (decision.limit ? fmt::format(" of {}", number(*decision.limit)) : "") + " used");
  }
  if (decision.remaining && *decision.remaining > 0) add(number(*decision.remaining) + " left");
  if (decision.overage && *decision.overage > 0) {
    add(number(*decision.overage) + " over");
    if (decision.overage_price) add(fmt::format("price {}", number(*decision.overage_price)));
  }
  if (decision.resets) add("resets " + call::iso_text(*decision.resets));
  return text;
}

int show(const Decision& decision, bool as_json) {
  if (as_json) {
    print("{}\n", to_json(decision));
  } else {
    const Style style;
    const Shown verdict = decision.allowed
                              ? style.good("allowed")
                              : style.bad(fmt::format("denied ({})", reason_text(decision)));
    const std::string meter = meter_text(decision);
    print("{}{}{}{}\n", verdict, meter.empty() ? "" : ": ", meter,
          decision.repeated ? " (repeated)" : "");
  }
  return decision.allowed ? exit_fine : exit_negative;
}

CallOptions call_options(const CallWords& words) {
  CallOptions options;
  options.event_data = words.event_data;
  options.overhead = words.overhead;
  options.force = words.force;
  options.request = words.request;
  return options;
}

Value value_of(const CallWords& words) { return words.value ? Value(*words.value) : Value(0); }

/// Opens the store, calls, and closes it again. `call(limitr)` gives a Result; what it holds is
/// handed to `show`.
template <typename Call, typename Show>
int call_and_close(const StoreUse& use, const Call& call, const Show& show_answer) {
  auto limitr = open_to_write(use);
  if (!limitr.ok()) return trouble(limitr.error().to_string());
  const auto answer = call(*limitr);
  const auto closed = limitr->close();
  if (!answer.ok()) return trouble(answer.error().to_string());
  if (!closed.ok()) return trouble(closed.error().to_string());
  return show_answer(*answer);
}

template <typename Call>
int decide(const CallWords& words, const Call& call) {
  return call_and_close(words.use, call,
                        [&](const Decision& decision) { return show(decision, words.json); });
}

/// The same beside the owner, whoever that is.
template <typename Call, typename Show>
int ask(const CallWords& words, const Call& call, const Show& show_answer) {
  auto store = open_to_read(words.use);
  if (!store.ok()) return trouble(store.error().to_string());
  auto limitr = engine_of(*store, words.use, std::array{words.customer});
  if (!limitr.ok()) return trouble(limitr.error().to_string());
  const auto answer = call(*limitr);
  if (!answer.ok()) return trouble(answer.error().to_string());
  return show_answer(*answer);
}

}  // namespace

int allow(const CallWords& words) {
  return decide(words, [&](Limitr& limitr) {
    return limitr.allow(words.customer, words.entitlement, value_of(words), call_options(words));
  });
}

int check(const CallWords& words) {
  return ask(
      words,
      [&](Limitr& limitr) {
        return limitr.check(words.customer, words.entitlement, value_of(words),
                            call_options(words));
      },
      [&](const Decision& decision) { return show(decision, words.json); });
}

int increment(const CallWords& words) {
  return decide(words, [&](Limitr& limitr) {
    return limitr.increment(words.customer, words.entitlement, call_options(words));
  });
}

int decrement(const CallWords& words) {
  return decide(words, [&](Limitr& limitr) {
    return limitr.decrement(words.customer, words.entitlement, call_options(words));
  });
}

int set(const CallWords& words) {
  return decide(words, [&](Limitr& limitr) {
    return limitr.set(words.customer, words.entitlement, value_of(words), call_options(words));
  });
}

int reserve(const CallWords& words) {
  ReserveOptions options;
  if (words.value) options.value = Value(*words.value);
  options.context = words.event_data;
  options.basis = words.basis;
  options.segment = words.segment;
  if (words.ttl) options.ttl = Value(*words.ttl);
  options.overhead = words.overhead;
  options.request = words.request;
  return call_and_close(
      words.use,
      [&](Limitr& limitr) { return limitr.reserve(words.customer, words.entitlement, options); },
      [&](const std::optional<std::string>& hold) -> int {
        if (words.json) {
          print("{{\"hold\":{}}}\n", to_json_text(hold));
        } else if (hold) {
          print("{}\n", *hold);
        } else {
          print_to(stderr, "limitr: nothing is held: check says why\n");
        }
        return hold ? exit_fine : exit_negative;
      });
}

int settle(const CallWords& words) {
  SettleOptions options;
  options.event_data = words.event_data;
  options.overhead = words.overhead;
  options.basis = words.basis;
  options.segment = words.segment;
  options.request = words.request;
  return decide(words, [&](Limitr& limitr) {
    return limitr.settle(words.customer, words.entitlement, words.hold, value_of(words), options);
  });
}

int release(const CallWords& words) {
  return call_and_close(
      words.use,
      [&](Limitr& limitr) {
        return limitr.release(words.customer, words.entitlement, words.hold,
                              {.request = words.request});
      },
      [&](bool released) -> int {
        if (words.json) {
          print("{{\"released\":{}}}\n", released);
        } else {
          print("{}\n", released ? "released" : "there is no such hold");
        }
        return released ? exit_fine : exit_negative;
      });
}

int held(const CallWords& words) {
  return ask(
      words, [&](Limitr& limitr) { return limitr.held(words.customer, words.entitlement); },
      [&](double amount) -> int {
        if (words.json) {
          print("{{\"held\":{}}}\n", number(amount));
        } else {
          print("{}\n", number(amount));
        }
        return exit_fine;
      });
}

}  // namespace limitr::cli
