// SPDX-License-Identifier: Apache-2.0
// A small service that meters its customers and keeps their state in a file.
//
//   story POLICY STATE REQUESTS
//
// It restores STATE where there is one, serves REQUESTS, and waits. On SIGTERM it saves the state
// and ends. A line of REQUESTS is `time customer plan entitlement amount`; the times in it are the
// service's clock, so that the story is the same on every day.
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <unistd.h>
#include <csignal>

#include <fmt/format.h>
#include <limitr/limitr.h>

namespace {

using limitr::Decision;
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
};

bool read_request(const std::string& line, Request& request) {
  std::istringstream words(line);
  words >> request.time >> request.customer >> request.plan >> request.entitlement;
  if (!(words >> request.amount)) return false;
  std::tm parts = {};
  const char* end = ::strptime(request.time.c_str(), "%Y-%m-%dT%H:%M", &parts);
  request.at = ::timegm(&parts);
  return end && *end == '\0';
}

/// Puts the snapshot in place of the old one in one step: whatever happens meanwhile, the file is
/// one whole state or the other.
bool save(const std::string& file, const std::string& text) {
  const std::string scratch = file + ".new";
  const int out = ::open(scratch.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (out < 0) return false;
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(out, text.data() + done, text.size() - done);
    if (count < 0 && errno != EINTR) break;
    if (count > 0) done += static_cast<std::size_t>(count);
  }
  const bool is_safe = done == text.size() && ::fsync(out) == 0;
  return ::close(out) == 0 && is_safe && ::rename(scratch.c_str(), file.c_str()) == 0;
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
  const auto decision = engine.allow(request.customer, request.entitlement, request.amount);
  if (!decision.ok()) return fail(decision.error().to_string()) == 0;
  fmt::print("  {}  {:<5} {:<8} {:>7}  {}{}\n", request.time, request.customer, request.entitlement,
             request.amount, outcome(*decision), *is_new ? "  [new customer]" : "");
  std::fflush(stdout);
  return true;
}

bool restore(Limitr& engine, const std::string& file) {
  if (!std::filesystem::exists(file)) {
    fmt::print("No state yet: starting with no customers.\n");
    return true;
  }
  const auto report = engine.load_customers(read(file));
  if (!report.ok()) return fail(report.error().to_string()) == 0;
  fmt::print("Restored {} customers from {}.\n", report->loaded,
             std::filesystem::path(file).filename().string());
  for (const auto& [id, error] : report->refused)
    fmt::print("Refused {}: {}.\n", id, error.to_string());
  for (const auto& [customer, entitlement] : report->unmapped)
    fmt::print("Kept, but no longer in the policy: {}'s meter `{}`. Was it renamed?\n", customer,
               entitlement);
  return true;
}

/// Serves until the requests end or SIGTERM comes, whichever is first. SIGTERM is blocked all the
/// while, so that no request is cut short: it waits for us to ask.
bool serve_all(Limitr& engine, RequestClock& clock, const std::string& file) {
  std::ifstream requests(file);
  if (!requests) return fail(fmt::format("{}: {}", file, std::strerror(errno))) == 0;
  sigset_t waiting;
  for (std::string line; std::getline(requests, line);) {
    if (::sigpending(&waiting) == 0 && sigismember(&waiting, SIGTERM) == 1) return true;
    Request request;
    if (!read_request(line, request)) return fail("not a request: " + line) == 0;
    clock.set_seconds(request.at);
    if (!serve(engine, request)) return false;
  }
  return true;
}

int stop(Limitr& engine, const sigset_t& signals, const std::string& file) {
  fmt::print("Waiting for more requests, or for SIGTERM.\n");
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&signals, &signal);
  const auto snapshot = engine.customers();
  if (!snapshot.ok()) return fail(snapshot.error().to_string());
  if (!save(file, *snapshot)) return fail(fmt::format("{}: {}", file, std::strerror(errno)));
  fmt::print("SIGTERM: saved {} customers to {}.\n", limitr::Json::parse(*snapshot).size(),
             std::filesystem::path(file).filename().string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return fail("usage: story POLICY STATE REQUESTS");
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const std::string state = argv[2];
  const auto clock = std::make_shared<RequestClock>();
  const std::string policy = read(argv[1]);
  auto engine = Limitr::open(std::string_view(policy), {.clock = clock});
  if (!engine.ok()) return fail(engine.error().to_string());
  if (!restore(*engine, state)) return 1;
  if (!serve_all(*engine, *clock, argv[3])) return 1;
  return stop(*engine, signals, state);
}
