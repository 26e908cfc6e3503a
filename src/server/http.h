// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <limitr/json.h>
#include <limitr/time.h>

// What is asked over HTTP, and who answers it. No sockets.
namespace limitr::server {

struct HttpRequest {
  std::string method;
  std::string path;   ///< Without the query.
  std::string query;  ///< What follows `?`.
  std::string body;
  std::string address;        ///< Of whoever asks.
  std::string authorization;  ///< The header of that name, or empty.
};

struct HttpResponse {
  unsigned status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  Millis retry_after{0};  ///< Above 0: a header says so, in whole seconds.
};

/// {"error":{"code","message"}}
HttpResponse http_error(unsigned status, std::string_view code, std::string_view message);
HttpResponse http_json(const Json& value);

/// The value of a name in a query; empty: it is not there. Nothing is decoded.
std::string_view in_query(std::string_view query, std::string_view name);

/// Which handler answers which path. A path that ends in `/` stands for all below it; the longest
/// one that fits counts.
class Routes {
public:
  using Respond = std::function<void(HttpResponse)>;
  /// Calls `respond` once, now or later, on the thread that asks.
  using Handler = std::function<void(const HttpRequest&, Respond respond)>;

  void add(std::string method, std::string path, Handler handler);
  /// 404 and 405 where there is none.
  void handle(const HttpRequest& request, const Respond& respond) const;

private:
  struct Route {
    std::string method;
    std::string path;
    Handler handler;
  };
  std::vector<Route> routes_;
};

}  // namespace limitr::server
