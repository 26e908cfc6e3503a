// SPDX-License-Identifier: Apache-2.0
// A small service that meters its customers and keeps their state in a store.
//
//   story POLICY STORE
//
// It opens STORE, a URL, where it left off, and serves the requests on standard input one by one:
// each is answered by a line when what it changed is safe. On SIGTERM it closes the store and ends.
// A request is `time customer plan entitlement amount [request ID]`; the times are the service's
// clock, so that the story is the same on every day.
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>

#include <poll.h>
#include <unistd.h>
#include <csignal>

#include <fmt/format.h>
#include <limitr/limitr.h>

namespace {

using limitr::Decision;
using limitr::Json;
using limitr::Limitr;
using limitr::Result;

class RequestClock : public limitr::Clock {
public:
  limitr::Timestamp now() const override { return limitr::Timestamp(limitr::Millis(now_ms_)); }
  void set_seconds(std::time_t seconds) { now_ms_ = std::int64_t{seconds} * 1000; }

private:
  std::atomic<std::int64_t> now_ms_ = 0;
};

struct Request {
  std::time_t at = 0;
  std::string time;
  std::string customer;
  std::string plan;
  std::string entitlement;
  std::string amount;
  std::string id;  ///< It counts once under this ID. Empty: none.
};

bool read_request(const std::string& line, Request& request) {
  std::istringstream words(line);
  words >> request.time >> request.customer >> request.plan >> request.entitlement;
  if (!(words >> request.amount)) return false;
  words >> request.id;
  std::tm parts = {};
  const char* end = ::strptime(request.time.c_str(), "%Y-%m-%dT%H:%M", &parts);
  request.at = ::timegm(&parts);
  return end && *end == '\0';
}

std::string read(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

int fail(const std::string& problem) {
  fmt::print(stderr, "story: {}\n", problem);
  return 1;
}

/// Where the meter stands, for a person.
std::string meter(const Decision& decision) {
  if (!decision.value || !decision.limit) return "";
  return fmt::format("{} of {} used", *decision.value, *decision.limit);
}

std::string outcome(const Decision& decision) {
  if (!decision.allowed) {
    const std::string used = meter(decision);
    return fmt::format("DENIED   {}{}({})", used, used.empty() ? "" : " ",
                       to_string(*decision.reason));
  }
  std::string text = "allowed  " + meter(decision);
  if (decision.overage && *decision.overage > 0)
    text += fmt::format(", {} over: bill {:.3f} USD", *decision.overage,
                        decision.overage_price.value_or(0));
  return text;
}

/// One request: the customer is created when it is seen for the first time.
bool serve(Limitr& engine, const Request& request) {
  const auto is_new = engine.ensure_customer(request.customer, {.plan = request.plan});
  if (!is_new.ok()) return fail(is_new.error().to_string()) == 0;
  const auto decision =
      engine.allow(request.customer, request.entitlement, request.amount, {.request = request.id});
  if (!decision.ok()) return fail(decision.error().to_string()) == 0;
  fmt::print("  {}  {:<5} {:<8} {:>7}  {}{}\n", request.time, request.customer, request.entitlement,
             request.amount, outcome(*decision), *is_new ? "  [new customer]" : "");
  std::fflush(stdout);
  return true;
}

/// Whether the plan has an entitlement of that name, or one that was called so.
bool has_entitlement(const Json& plan, const std::string& name) {
  const Json entitlements = plan.value("entitlements", Json::object());
  if (entitlements.contains(name)) return true;
  for (const Json& entitlement : entitlements)
    for (const Json& former : entitlement.value("renamed_from", Json::array()))
      if (former == name) return true;
  return false;
}

/// Says who is there, and what is kept of them although the policy has no place for it.
bool report(Limitr& engine) {
  const auto text = engine.customers();
  if (!text.ok()) return fail(text.error().to_string()) == 0;
  const Json customers = Json::parse(*text);
  fmt::print("Opened the store: {} customers.\n", customers.size());
  for (const auto& [id, customer] : customers.items()) {
    const auto plan = engine.plan(id);
    if (!plan.ok() || !plan->has_value()) continue;
    for (const auto& [entitlement, meter] : customer.at("meters").items()) {
      if (has_entitlement(**plan, entitlement)) continue;
      fmt::print("Kept, but no longer in the policy: {}'s meter `{}`. Was it renamed?\n", id,
                 entitlement);
    }
  }
  return true;
}

volatile std::sig_atomic_t is_asked_to_stop = 0;

void ask_to_stop(int /*signal*/) { is_asked_to_stop = 1; }

/// Lines of standard input, until it ends or SIGTERM comes. SIGTERM is let in only while it waits
/// for more: no request is cut short.
class Lines {
public:
  Lines() {
    struct sigaction action = {};
    action.sa_handler = ask_to_stop;
    ::sigaction(SIGTERM, &action, nullptr);
    sigset_t terminate;
    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &terminate, &while_waiting_);
    sigdelset(&while_waiting_, SIGTERM);
  }

  bool next(std::string& line) {
    while (true) {
      if (const std::size_t end = read_.find('\n'); end != std::string::npos) {
        line = read_.substr(0, end);
        read_.erase(0, end + 1);
        return true;
      }
      if (is_asked_to_stop != 0 || !read_more()) return false;
    }
  }

private:
  bool read_more() {
    pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    if (::ppoll(&input, 1, nullptr, &while_waiting_) < 0) return errno == EINTR;
    char block[4096];
    const ssize_t count = ::read(STDIN_FILENO, block, sizeof block);
    if (count > 0) read_.append(block, static_cast<std::size_t>(count));
    return count > 0 || (count < 0 && errno == EINTR);
  }

  sigset_t while_waiting_ = {};
  std::string read_;
};

bool serve_all(Limitr& engine, RequestClock& clock, Lines& lines, int& served) {
  for (std::string line; lines.next(line);) {
    Request request;
    if (!read_request(line, request)) return fail("not a request: " + line) == 0;
    clock.set_seconds(request.at);
    if (!serve(engine, request)) return false;
    ++served;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return fail("usage: story POLICY STORE");
  // Before the engine starts a thread that the signal could go to.
  Lines lines;
  const auto clock = std::make_shared<RequestClock>();
  const std::string policy = read(argv[1]);
  auto engine = Limitr::open(std::string_view(policy), {.clock = clock, .store = argv[2]});
  if (!engine.ok()) return fail(engine.error().to_string());
  if (!report(*engine)) return 1;
  fmt::print("Waiting for requests, or for SIGTERM.\n");
  std::fflush(stdout);
  int served = 0;
  if (!serve_all(*engine, *clock, lines, served)) return 1;
  const auto written = engine->close();
  if (!written.ok()) return fail(written.error().to_string());
  fmt::print("SIGTERM: {} requests were served, and what they changed is in the store.\n", served);
  return 0;
}
