// SPDX-License-Identifier: Apache-2.0
#include "server/http.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <limitr/json.h>
#include "base/json_writer.h"
#include "fuzz.h"
#include "server/tickets.h"

// The input: method, path, query and address of a request, a line each, and then what happens to
// tickets and failed attempts, a byte each.
//
// 1. A request has one answer, by the longest path that fits it, or 404 or 405 as JSON.
// 2. What is found in a query stands there behind its name.
// 3. A ticket is taken once, by who asked for it, and not when it is over.
// 4. Whoever waited as long as it was told may try, and after too many failures nobody may.
namespace limitr::fuzz {
namespace {

using namespace server;

void require_answer(const HttpRequest& request) {
  static const std::vector<std::pair<std::string, std::string>> known = {
      {"GET", "/healthz"}, {"POST", "/wss/ticket"}, {"GET", "/v1/"}, {"GET", "/v1/customers/"}};
  static const Routes routes = [] {
    Routes made;
    for (const auto& one : known) {
      made.add(one.first, one.second, [&one](const HttpRequest&, const Routes::Respond& respond) {
        respond({.body = one.second});
      });
    }
    return made;
  }();
  int answers = 0;
  HttpResponse response;
  routes.handle(request, [&](HttpResponse answer) {
    ++answers;
    response = std::move(answer);
  });
  require(answers == 1, "a request has one answer");
  std::string best;
  bool has_path = false;
  for (const auto& [method, path] : known) {
    const bool fits =
        request.path == path || (path.back() == '/' && request.path.starts_with(path));
    has_path = has_path || fits;
    if (fits && method == request.method && path.size() > best.size()) best = path;
  }
  require(response.status == (best.empty() ? has_path ? 405U : 404U : 200U), "its status is right");
  if (!best.empty()) return require(response.body == best, "the longest path answers");
  const Json body = Json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  require(!is_utf8(request.method) || (body.is_object() && body["error"]["message"].is_string()),
          "a refusal is JSON", response.body);
}

void require_query(std::string_view query) {
  for (const std::string_view name : {"ticket", "a", ""}) {
    const std::string_view value = in_query(query, name);
    require(value.find('&') == std::string_view::npos, "a value ends where the next begins");
    if (value.empty()) continue;
    const auto at = static_cast<std::size_t>(value.data() - query.data());
    require(at > name.size() && query[at - 1] == '=' &&
                query.substr(at - 1 - name.size(), name.size()) == name,
            "a value stands behind its name", query);
  }
}

void require_address(std::string_view address) {
  const std::string who = Attempts::who(address);
  require(address.find(who) != std::string_view::npos, "who it is stands in the address", who);
}

void play_tickets(std::string_view script) {
  Tickets tickets;
  std::map<std::string, Millis> open;
  std::vector<std::string> given;
  Millis now{0};
  for (const char c : script) {
    const auto what = static_cast<unsigned char>(c);
    if (what < 64) {
      now += Millis(what * 500);
    } else if (what < 128 || given.empty()) {
      const Result<std::string> ticket = tickets.issue(Caller(), now);
      require(ticket.ok() && ticket->size() == 64, "there is a ticket");
      require(open.emplace(*ticket, now + Tickets::lasts).second, "no two are the same");
      given.push_back(*ticket);
    } else {
      const std::string& ticket = given[what % given.size()];
      const auto found = open.find(ticket);
      const bool is_good = found->second > now;
      require(tickets.redeem(ticket, now).has_value() == is_good,
              "a ticket is taken once, in time");
      found->second = Millis(0);
    }
  }
  require(!tickets.redeem(script, now).has_value(), "what was not given is no ticket");
}

void play_attempts(std::string_view script, const std::string& who) {
  if (script.empty()) return;
  const std::size_t most = static_cast<unsigned char>(script.front()) + std::size_t{1};
  Attempts attempts(most);
  Millis now{0};
  for (const char c : script) {
    const auto what = static_cast<unsigned char>(c);
    if (what < 128) {
      now += Millis(what * 100);
    } else if (attempts.wait(who, now) == Millis(0)) {
      attempts.failed(who, now);
    }
    const Millis wait = attempts.wait(who, now);
    require(wait >= Millis(0) && wait <= Millis(60'000), "nobody waits for longer than a minute");
    require(attempts.wait(who, now + wait) == Millis(0), "whoever waited may try");
  }
  for (std::size_t i = 0; i < most; ++i) attempts.failed(who, now);
  require(attempts.wait(who, now) > Millis(0), "too many failures are too many");
  require(attempts.wait(who + "x", now) == Millis(0), "others may try");
}

std::string_view take_line(std::string_view& rest) {
  const std::string_view line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  return line;
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace limitr::fuzz;
  std::string_view rest = text_of(data, size);
  limitr::server::HttpRequest request;
  request.method = take_line(rest);
  request.path = take_line(rest);
  request.query = take_line(rest);
  request.address = take_line(rest);
  require_answer(request);
  require_query(request.query);
  require_address(request.address);
  play_tickets(rest);
  play_attempts(rest, limitr::server::Attempts::who(request.address));
  return 0;
}
