// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <barrier>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <limitr/limitr.h>

#include "manual_clock.h"

// What holds whatever threads do at the same time. Run under thread sanitizer too, with
// -DLIMITR_SANITIZE=thread. spec: decision.md, state.md, events.md
namespace limitr {
namespace {

constexpr int threads = 4;

// A policy whose hard limits are `limit`. `org_chat` is metered on the org, `tally` has no bound.
std::string policy_text(int limit, double price = 1) {
  return "policy:\n  credits: {tok: {price: {amount: " + std::to_string(price) +
         "}}}\n  plans:\n    pro:\n      default: true\n      entitlements:\n"
         "        chat: {limit: {credit: tok, mode: hard, value: " +
         std::to_string(limit) +
         "}}\n        org_chat: {scope: org, limit: {credit: tok, mode: hard, value: " +
         std::to_string(limit) +
         "}}\n        tally: {limit: {credit: tok, mode: observe, value: 1}}\n"
         "        bill: {limit: {credit: tok, mode: soft, value: " +
         std::to_string(limit) + "}}\n";
}

Limitr open(int limit, Options options = {}) {
  options.clock = std::make_shared<ManualClock>(1'700'000'000'000);
  Result<Limitr> opened = Limitr::open(policy_text(limit), std::move(options));
  if (!opened.ok()) throw std::invalid_argument(opened.error().to_string());
  return *std::move(opened);
}

std::string user(int number) { return "user" + std::to_string(number); }

// An org, and users whose refs lead to it.
void add_family(Limitr& limitr, int users) {
  ASSERT_TRUE(limitr.create_customer("org", {.plan = "pro", .type = "org"}).ok());
  for (int i = 0; i < users; ++i) {
    const NewCustomer customer{.plan = "pro", .refs = std::vector<std::string>{"org"}};
    ASSERT_TRUE(limitr.create_customer(user(i), customer).ok());
  }
}

// Runs `work(number)` on each of some threads at the same time.
template <typename Work>
void together(int count, const Work& work) {
  std::barrier start(count);
  std::vector<std::jthread> running;
  for (int i = 0; i < count; ++i) {
    running.emplace_back([&, i] {
      start.arrive_and_wait();
      work(i);
    });
  }
}

// Says that something is over, however its scope is left: others wait for it.
class OverAtEnd {
public:
  explicit OverAtEnd(std::atomic<bool>& over) : over_(over) {}
  ~OverAtEnd() { over_ = true; }
  OverAtEnd(const OverAtEnd&) = delete;
  OverAtEnd& operator=(const OverAtEnd&) = delete;

private:
  std::atomic<bool>& over_;
};

// Does, until its end, everything else that engines are asked for while calls go on: snapshots,
// policy swaps that leave the limits as they are, and customers that come and go.
class Bustle {
public:
  Bustle(Limitr& limitr, int limit) : limitr_(limitr), limit_(limit) {
    running_.emplace_back([this] { take_snapshots(); });
    running_.emplace_back([this] { swap_policies(); });
    running_.emplace_back([this] { replace_customers(); });
  }
  ~Bustle() {
    over_ = true;
    running_.clear();
    EXPECT_GT(rounds_, 0);
  }
  Bustle(const Bustle&) = delete;
  Bustle& operator=(const Bustle&) = delete;

private:
  template <typename Work>
  void until_over(const Work& work) {
    do {
      work();
      ++rounds_;
    } while (!over_);
  }
  void take_snapshots() {
    until_over([&] {
      EXPECT_TRUE(Json::accept(*limitr_.customers()));
      EXPECT_TRUE(Json::accept(*limitr_.export_state()));
    });
  }
  void swap_policies() {
    until_over([&] {
      EXPECT_TRUE(limitr_.set_policy(policy_text(limit_, 2), Format::yaml).ok());
      const Json plan = {{"entitlements", {{"other", Json::object()}}}};
      EXPECT_TRUE(limitr_.set_plan("other", plan).ok());
      EXPECT_TRUE(*limitr_.delete_plan("other"));
    });
  }
  void replace_customers() {
    until_over([&] {
      const std::string record =
          R"({"id":"stranger","plan":"pro","alt_ids":["odd"],"refs":["org"],"meters":{}})";
      EXPECT_TRUE(limitr_.set_customer(record).ok());
      EXPECT_TRUE(*limitr_.set_alt_customer_id("stranger", "even"));
      EXPECT_TRUE(limitr_.allow("odd", "tally", 1).ok());
      EXPECT_TRUE(limitr_.allow("even", "tally", 1).ok());
      EXPECT_TRUE(*limitr_.delete_customer("even"));
    });
  }

  Limitr& limitr_;
  const int limit_;
  std::atomic<bool> over_{false};
  std::atomic<int> rounds_{0};
  std::vector<std::jthread> running_;
};

// Goal: a hard limit of N lets exactly N through, in whichever way the customer is named.
// spec: decision.md, One rule above all
TEST(Threads, AHardLimitIsMetExactly) {
  constexpr int limit = 2000;
  Limitr limitr = open(limit);
  ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro", .alts = {"ann@x"}}).ok());
  const Handle handle = **limitr.handle("ann", "chat");
  std::atomic<int> allowed{0};
  {
    const Bustle bustle(limitr, limit);
    together(threads, [&](int number) {
      for (int i = 0; i < limit / 2; ++i) {
        const Result<Decision> decision = number % 3 == 0   ? limitr.allow("ann", "chat", 1)
                                          : number % 3 == 1 ? limitr.allow("ann@x", "chat", 1)
                                                            : limitr.allow(handle, 1);
        ASSERT_TRUE(decision.ok());
        if (decision->allowed) ++allowed;
        if (!decision->allowed) {
          EXPECT_EQ(decision->reason, Reason::limit);
        }
      }
    });
  }
  EXPECT_EQ(allowed, limit);
  EXPECT_EQ(**limitr.value("ann", "chat"), limit);
}

// Goal: the same where many users draw on one org's meter. spec: customers.md, Scope
TEST(Threads, AScopedLimitIsMetExactly) {
  constexpr int limit = 1200;
  Limitr limitr = open(limit);
  add_family(limitr, 8);
  std::atomic<int> allowed{0};
  {
    const Bustle bustle(limitr, limit);
    together(threads, [&](int number) {
      for (int i = 0; i < limit / 2; ++i) {
        const Result<Decision> decision = limitr.allow(user((number + i) % 8), "org_chat", 1);
        if (decision->allowed) ++allowed;
      }
    });
  }
  EXPECT_EQ(allowed, limit);
  EXPECT_EQ(**limitr.value("org", "org_chat"), limit);
  EXPECT_EQ(**limitr.remaining("org", "org_chat"), 0);
}

// Goal: the same for a cap that all users share. spec: pricing.md, Spend caps
TEST(Threads, ASharedCapIsMetExactly) {
  constexpr int ceiling = 1200;
  Limitr limitr = open(1'000'000);
  add_family(limitr, 8);
  const CapOptions options{.cap = "budget", .credit = "tok", .shared = true, .scope = {"chat"}};
  ASSERT_TRUE((*limitr.add_customer_cap("org", ceiling, options)).has_value());
  std::atomic<int> allowed{0};
  {
    const Bustle bustle(limitr, 1'000'000);
    together(threads, [&](int number) {
      for (int i = 0; i < ceiling / 2; ++i) {
        const Result<Decision> decision = limitr.allow(user((number + i) % 8), "chat", 1);
        if (decision->allowed) ++allowed;
        if (!decision->allowed) {
          EXPECT_EQ(decision->cap->customer, "org");
        }
      }
    });
  }
  EXPECT_EQ(allowed, ceiling);
  double metered = 0;
  for (int i = 0; i < 8; ++i) metered += **limitr.value(user(i), "chat");
  EXPECT_EQ(metered, ceiling);
  EXPECT_EQ((**limitr.customer_cap("org", "budget"))["meter_value"], ceiling);
}

// Goal: holds count like usage: room is never promised twice. spec: reservations.md
TEST(Threads, HoldsNeverPromiseMoreThanThereIs) {
  constexpr int limit = 200;
  Limitr limitr = open(limit);
  ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro"}).ok());
  std::atomic<int> settled{0};
  std::atomic<int> released{0};
  together(threads, [&](int number) {
    for (int i = 0; i < limit; ++i) {
      const auto hold = limitr.reserve("ann", "chat", {.value = 1});
      ASSERT_TRUE(hold.ok());
      if (!*hold) continue;
      const double used = **limitr.value("ann", "chat") + *limitr.held("ann", "chat");
      EXPECT_LE(used, limit + threads) << "the two reads are not one";
      if ((i + number) % 5 == 0) {
        EXPECT_TRUE(*limitr.release("ann", "chat", **hold));
        ++released;
      } else {
        EXPECT_EQ(limitr.settle("ann", "chat", **hold, 1)->overage, std::nullopt);
        ++settled;
      }
    }
  });
  EXPECT_EQ(settled, limit);
  EXPECT_GT(released, 0);
  EXPECT_EQ(**limitr.value("ann", "chat"), limit);
  EXPECT_EQ(*limitr.held("ann", "chat"), 0);
}

// Goal: the same request ID counts once, however many ask with it at the same time.
// spec: state.md, Exactly once
TEST(Threads, ARequestCountsOnce) {
  constexpr int requests = 200;
  Limitr limitr = open(1'000'000);
  ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro"}).ok());
  std::atomic<int> first{0};
  together(threads, [&](int) {
    for (int i = 0; i < requests; ++i) {
      const std::string id = "r" + std::to_string(i);
      CallOptions options;
      options.request = id;
      const Result<Decision> decision = limitr.allow("ann", "chat", 1, options);
      ASSERT_TRUE(decision.ok() && decision->allowed);
      if (!decision->repeated) ++first;
    }
  });
  EXPECT_EQ(first, requests);
  EXPECT_EQ(**limitr.value("ann", "chat"), requests);
}

// Goal: the same of calls that are no decisions; and a snapshot has a change and its request both,
// or neither. spec: state.md, Exactly once
TEST(Threads, ARequestedChangeCountsOnce) {
  constexpr std::size_t requests = 100;
  Limitr limitr = open(1'000'000);
  ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro"}).ok());
  together(threads, [&](int thread) {
    for (std::size_t i = 0; i < requests; ++i) {
      const std::string id = "r" + std::to_string(i);
      EXPECT_TRUE(*limitr.ensure_customer(id, {.request = id}));
      EXPECT_TRUE(*limitr.set_alt_customer_id("ann", "a" + id, {.request = id}));
      EXPECT_TRUE((**limitr.reserve("ann", "chat", {.value = 1, .request = "h" + id})).size() > 0);
      if (thread != 0 || i % 10 != 0) continue;
      const Json state = Json::parse(*limitr.export_state());
      const Json& ann = state["customers"]["ann"];
      std::size_t remembered = 0;
      for (const Json& request : state["requests"]) remembered += request["customer"] == "ann";
      EXPECT_EQ(ann["alt_ids"].size() + ann["meters"]["chat"]["holds"].size(), remembered);
    }
  });
  EXPECT_EQ(*limitr.held("ann", "chat"), requests);
  EXPECT_EQ(Json::parse(*limitr.customers())["ann"]["alt_ids"].size(), requests);
}

// Goal: no half-applied call is in any snapshot: each call moves the org's meter and the caller's
// own cap by the same. spec: state.md, Snapshot and load
TEST(Threads, EverySnapshotIsACutBetweenCalls) {
  constexpr int users = 8;
  constexpr int snapshots_wanted = 20;
  Limitr limitr = open(1'000'000'000);
  add_family(limitr, users);
  for (int i = 0; i < users; ++i) {
    const CapOptions options{.cap = "own", .credit = "tok"};
    ASSERT_TRUE((*limitr.add_customer_cap(user(i), 1e9, options)).has_value());
  }
  std::atomic<int> calls{0};
  std::atomic<int> snapshots{0};
  const auto is_over = [&] {
    return snapshots >= snapshots_wanted || ::testing::Test::HasFailure();
  };
  together(threads + 2, [&](int number) {
    if (number < threads) {
      for (int i = 0; !is_over(); ++i, ++calls) {
        EXPECT_TRUE(*limitr.allow(user((number * 3 + i) % users), "org_chat", 1));
      }
      return;
    }
    double last = 0;
    do {
      const Json records = Json::parse(*limitr.customers());
      ASSERT_EQ(records.size(), users + 1U);
      double spent = 0;
      for (int i = 0; i < users; ++i) {
        spent += records[user(i)]["caps"]["own"]["meter_value"].get<double>();
      }
      const auto metered = records["org"]["meters"]["org_chat"]["value"].get<double>();
      ASSERT_EQ(spent, metered);
      EXPECT_GE(metered, last) << "a later snapshot has what an earlier one had";
      last = metered;
      ++snapshots;
    } while (!is_over());
  });
  EXPECT_EQ(**limitr.value("org", "org_chat"), calls);
}

// Goal: customers that are there all along are in every snapshot, once; those that come and go are
// in it at most once. spec: state.md
TEST(Threads, SnapshotsListEveryCustomerOnce) {
  Limitr limitr = open(1'000'000);
  add_family(limitr, 4);
  std::atomic<bool> over{false};
  together(3, [&](int number) {
    if (number == 0) {
      const OverAtEnd end(over);
      for (int i = 0; i < 30; ++i) {
        std::map<std::string, int> seen;
        const std::string text = *limitr.customers();
        // Duplicate keys would vanish in a parsed object.
        const auto count_ids = [&](int depth, Json::parse_event_t event, Json& parsed) {
          if (depth == 1 && event == Json::parse_event_t::key) ++seen[parsed.get<std::string>()];
          return true;
        };
        ASSERT_FALSE(Json::parse(text, count_ids, false).is_discarded());
        for (const auto& [id, times] : seen) EXPECT_EQ(times, 1) << id;
        for (int u = 0; u < 4; ++u) EXPECT_EQ(seen[user(u)], 1);
      }
      return;
    }
    for (int i = 0; !over; ++i) {
      const std::string id = "guest" + std::to_string(number) + "_" + std::to_string(i % 20);
      ASSERT_TRUE(limitr.create_customer(id, {.plan = "pro", .alts = {id + "@x"}}).ok());
      ASSERT_TRUE(limitr.allow(id, "chat", 1)->allowed);
      ASSERT_TRUE(limitr.allow(user(i % 4), "chat", 1)->allowed);
      ASSERT_TRUE(*limitr.delete_customer(id + "@x"));
    }
  });
}

// Goal: each call sees one policy: limit and price always come from the same one.
// spec: reads.md, set_policy
TEST(Threads, ACallSeesOnePolicy) {
  Limitr limitr = open(100);
  ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro"}).ok());
  const std::string cheap = policy_text(100, 1);
  const std::string dear = policy_text(200, 2);
  std::atomic<bool> over{false};
  std::set<double> limits;
  together(2, [&](int number) {
    if (number == 0) {
      const OverAtEnd end(over);
      for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(limitr.set_policy(i % 2 == 0 ? dear : cheap, Format::yaml).ok());
      }
      return;
    }
    do {
      const Decision decision = *limitr.check("ann", "bill", 1000);
      limits.insert(*decision.limit);
      ASSERT_EQ(*decision.price_diff, *decision.limit == 100 ? 900 : 1600);
    } while (!over);
  });
  EXPECT_TRUE(limits.contains(100) || limits.contains(200));
}

// Goal: a handle whose customer is deleted and created again under it is merely unknown.
TEST(Threads, HandlesOutliveTheirCustomers) {
  Limitr limitr = open(1'000'000);
  ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro"}).ok());
  std::atomic<bool> over{false};
  together(3, [&](int number) {
    if (number == 0) {
      const OverAtEnd end(over);
      for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(*limitr.delete_customer("ann"));
        ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro"}).ok());
      }
      return;
    }
    while (!over) {
      const auto made = limitr.handle("ann", "chat");
      if (!*made) continue;
      const Handle handle = **made;
      for (int i = 0; i < 5; ++i) {
        const Handle copy = handle;
        const Decision decision = *limitr.allow(copy, 1);
        if (!decision.allowed) {
          EXPECT_EQ(decision.reason, Reason::unknown_customer);
        }
      }
    }
  });
}

// Goal: calls that move the same customers in opposite directions never wait for each other
// forever. spec: decision.md
TEST(Threads, RefsInCirclesDoNotDeadlock) {
  Limitr limitr = open(1'000'000);
  constexpr int ring = 6;
  for (int i = 0; i < ring; ++i) {
    NewCustomer customer{.plan = "pro"};
    customer.refs = std::vector{user((i + 1) % ring), user((i + ring - 1) % ring)};
    ASSERT_TRUE(limitr.create_customer(user(i), customer).ok());
    const std::string cap = "c" + std::to_string(i);
    const CapOptions options{.cap = cap, .credit = "tok", .shared = true};
    ASSERT_TRUE((*limitr.add_customer_cap(user(i), 1e9, options)).has_value());
  }
  together(threads, [&](int number) {
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(limitr.allow(user((number + i) % ring), "chat", 1)->allowed);
    }
  });
  for (int i = 0; i < ring; ++i) {
    EXPECT_EQ((**limitr.customer_cap(user(i), "c" + std::to_string(i)))["meter_value"],
              threads * 100)
        << "every call is shared by all";
  }
}

// The events of each customer, in the order in which a handler saw them.
struct Seen {
  std::mutex mutex;
  std::map<std::string, std::vector<double>> values;  // guarded by mutex

  void note(const Event& event) {
    if (event.type != "meter-changed") return;
    const auto value = event.json()["meter"]["value"].get<double>();
    const std::lock_guard lock(mutex);
    values[event.customer].push_back(value);
  }
};

void expect_each_once_in_order(const std::vector<double>& values, std::size_t count) {
  ASSERT_EQ(values.size(), count);
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(values[i], static_cast<double>(i + 1));
}

thread_local int handled_here = 0;

// Goal: events of one customer arrive in the order of its changes, once, on the thread of the
// call, which returns after them. spec: events.md
TEST(Threads, EventsComeInOrderAndBeforeTheCallReturns) {
  constexpr int calls = 120;
  Limitr limitr = open(1'000'000);
  add_family(limitr, 3);
  Seen seen;
  limitr.add_handler("note", [&](const Event& event) { seen.note(event); });
  limitr.add_handler("count", [&](const Event&) { ++handled_here; });
  together(threads, [&](int number) {
    handled_here = 0;
    for (int i = 0; i < calls; ++i) {
      ASSERT_TRUE(*limitr.allow(user((number + i) % 3), i % 2 == 0 ? "chat" : "org_chat", 1));
      ASSERT_EQ(handled_here, i + 1);
    }
    CallOptions silent;
    silent.event = false;
    ASSERT_TRUE(*limitr.allow("user0", "tally", 1, silent));
    EXPECT_EQ(handled_here, calls);
  });
  expect_each_once_in_order(seen.values["org"], threads * calls / 2);
  std::size_t all = seen.values["org"].size();
  for (int i = 0; i < 3; ++i) {
    const std::vector<double>& values = seen.values[user(i)];
    expect_each_once_in_order(values, values.size());
    all += values.size();
  }
  EXPECT_EQ(all, std::size_t{threads * calls});
}

// Goal: a handler may call the engine, also about other customers that other handlers are just
// calling it about; the events of its calls follow those it was called with. spec: events.md
TEST(Threads, HandlersMayCallTheEngine) {
  constexpr int calls = 80;
  Limitr limitr = open(1'000'000);
  add_family(limitr, 3);
  Seen tallies;
  limitr.add_handler("chain", [&](const Event& event) {
    const Json payload = event.json();
    const std::string entitlement = payload.value("entitlement", "");
    if (entitlement == "tally") return tallies.note(event);
    // The next one in the circle.
    const int number = event.customer.back() - '0';
    EXPECT_TRUE(limitr.allow(user((number + 1) % 3), "tally", 1)->allowed);
    EXPECT_TRUE(limitr.value("org", "org_chat").ok());
  });
  together(threads, [&](int number) {
    for (int i = 0; i < calls; ++i) {
      ASSERT_TRUE(limitr.allow(user((number + i) % 3), "chat", 1)->allowed);
    }
  });
  std::size_t all = 0;
  for (int i = 0; i < 3; ++i) {
    const std::vector<double>& values = tallies.values[user(i)];
    expect_each_once_in_order(values, values.size());
    EXPECT_EQ(**limitr.value(user(i), "tally"), static_cast<double>(values.size()));
    all += values.size();
  }
  EXPECT_EQ(all, std::size_t{threads * calls});
}

// Goal: a handler that throws is logged and keeps nobody from anything. spec: events.md
TEST(Threads, AThrowingHandlerIsLogged) {
  std::atomic<int> logged{0};
  std::atomic<int> ran{0};
  Options options;
  options.log = [&](std::string_view message) {
    if (message.find("`bad`") != std::string_view::npos) ++logged;
  };
  Limitr limitr = open(1'000'000, std::move(options));
  ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro"}).ok());
  limitr.add_handler("bad", [](const Event&) { throw std::runtime_error("no"); });
  limitr.add_handler("good", [&](const Event&) { ++ran; });
  together(threads, [&](int) {
    for (int i = 0; i < 25; ++i) ASSERT_TRUE(*limitr.allow("ann", "chat", 1));
  });
  EXPECT_EQ(logged, threads * 25);
  EXPECT_EQ(ran, threads * 25);
  EXPECT_EQ(**limitr.value("ann", "chat"), threads * 25);
}

TEST(Handlers, RunInTheOrderTheyWereAddedUntilRemoved) {
  Limitr limitr = open(1'000'000);
  ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro"}).ok());
  std::string ran;
  const auto note = [&](char letter) { return [&, letter](const Event&) { ran += letter; }; };
  const auto run = [&] {
    ran.clear();
    EXPECT_TRUE(*limitr.allow("ann", "chat", 1));
    return ran;
  };
  limitr.add_handler("z", note('a'));
  limitr.add_handler("y", note('b'));
  limitr.add_handler("x", note('c'));
  EXPECT_EQ(run(), "abc");
  limitr.add_handler("y", note('B'));
  EXPECT_EQ(run(), "aBc") << "one of that name is replaced, in its place";
  EXPECT_TRUE(limitr.remove_handler("z"));
  EXPECT_FALSE(limitr.remove_handler("z"));
  EXPECT_EQ(run(), "Bc");
  limitr.clear_handlers();
  EXPECT_EQ(run(), "");
  limitr.add_handler("once", [&](const Event&) {
    ran += 'o';
    EXPECT_TRUE(limitr.remove_handler("once"));
  });
  EXPECT_EQ(run(), "o") << "a handler may remove itself";
  EXPECT_EQ(run(), "");
}

// Goal: handlers that come and go under calls lose none of the others' events.
TEST(Threads, HandlersComeAndGo) {
  Limitr limitr = open(1'000'000);
  ASSERT_TRUE(limitr.create_customer("ann", {.plan = "pro"}).ok());
  std::atomic<int> steady{0};
  std::atomic<bool> over{false};
  limitr.add_handler("steady", [&](const Event&) { ++steady; });
  together(threads + 1, [&](int number) {
    if (number == threads) {
      while (!over) {
        limitr.add_handler("guest", [](const Event&) {});
        limitr.remove_handler("guest");
      }
      return;
    }
    const OverAtEnd end(over);
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(*limitr.allow("ann", "chat", 1));
  });
  EXPECT_EQ(steady, threads * 60);
}

}  // namespace
}  // namespace limitr
