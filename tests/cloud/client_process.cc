// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include <limitr/limitr.h>

// An engine of a Cloud server as a process of its own: whoever started it tells it what to call,
// and may stop, cut or kill it. Each answer is a line that is written at once, so that what was
// answered is known whatever happens next.
//
//   limitr_cloud_client_process ADDRESS TOKEN ROOM STORE_TIMEOUT_MS [LOCAL_FILE]
//
//   allow ID ENTITLEMENT UNITS              allowed, denied REASON, or error CODE MESSAGE
//   burst ID ENTITLEMENT COUNT THREADS      COUNT such lines, of one unit each, then `done`
//   value ID ENTITLEMENT                    value NUMBER, or error …
//   ensure ID                               true, false, or error …
//   close                                   closed, or error …
namespace limitr {
namespace {

std::mutex lines;

void say(std::string_view text) {
  const std::string line = std::string(text) + '\n';
  const std::lock_guard lock(lines);
  std::string_view left = line;
  while (!left.empty()) {
    const ::ssize_t written = ::write(STDOUT_FILENO, left.data(), left.size());
    if (written < 0 && errno != EINTR) std::_Exit(3);
    if (written > 0) left.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string text_of(const Error& error) {
  return fmt::format("error {} {}", to_string(error.code), error.to_string());
}

void allow(Limitr& limitr, const std::string& customer, const std::string& entitlement,
           double units) {
  const Result<Decision> decision = limitr.allow(customer, entitlement, units);
  if (!decision.ok()) {
    say(text_of(decision.error()));
  } else if (decision->allowed) {
    say("allowed");
  } else {
    say(fmt::format("denied {}", decision->reason ? to_string(*decision->reason) : "unknown"));
  }
}

void burst(Limitr& limitr, const std::string& customer, const std::string& entitlement, int count,
           int threads) {
  std::vector<std::thread> running;
  for (int thread = 0; thread < threads; ++thread) {
    const int share = count / threads + (thread < count % threads ? 1 : 0);
    running.emplace_back([&, share] {
      for (int i = 0; i < share; ++i) allow(limitr, customer, entitlement, 1);
    });
  }
  for (std::thread& thread : running) thread.join();
  say("done");
}

void value(Limitr& limitr, const std::string& customer, const std::string& entitlement) {
  const Read<double> read = limitr.value(customer, entitlement);
  say(read.ok() ? fmt::format("value {}", read->value_or(0)) : text_of(read.error()));
}

void ensure(Limitr& limitr, const std::string& customer) {
  const Result<bool> made = limitr.ensure_customer(customer);
  say(!made.ok() ? text_of(made.error()) : *made ? "true" : "false");
}

void close(Limitr& limitr) {
  const auto closed = limitr.close();
  say(closed.ok() ? "closed" : text_of(closed.error()));
}

void obey(Limitr& limitr, const std::string& line) {
  std::istringstream words(line);
  std::string command, customer, entitlement;
  double units = 0;
  int threads = 1;
  words >> command >> customer >> entitlement >> units >> threads;
  if (command == "allow") return allow(limitr, customer, entitlement, units);
  if (command == "burst") {
    return burst(limitr, customer, entitlement, static_cast<int>(units), threads);
  }
  if (command == "value") return value(limitr, customer, entitlement);
  if (command == "ensure") return ensure(limitr, customer);
  if (command == "close") return close(limitr);
  say("error invalid_argument " + line);
}

int run(const std::vector<std::string>& arguments) {
  CloudOptions options;
  options.address = arguments[1];
  options.token = arguments[2];
  options.room = std::stod(arguments[3]);
  options.engine.store_timeout = Millis(std::stoi(arguments[4]));
  if (arguments.size() > 5) options.local_file = arguments[5];
  Result<Limitr> limitr = Limitr::cloud(options);
  if (!limitr.ok()) {
    say(text_of(limitr.error()));
    return 1;
  }
  say("open");
  for (std::string line; std::getline(std::cin, line);) obey(*limitr, line);
  return 0;
}

}  // namespace
}  // namespace limitr

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) return 2;
  return limitr::run({argv, argv + argc});
}
