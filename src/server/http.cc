// SPDX-License-Identifier: Apache-2.0
#include "server/http.h"

#include <fmt/format.h>

#include "base/json_writer.h"

namespace limitr::server {
namespace {

bool fits(std::string_view route, std::string_view path) {
  return route == path || (route.ends_with('/') && path.starts_with(route));
}

}  // namespace

HttpResponse http_error(unsigned status, std::string_view code, std::string_view message) {
  std::string body;
  JsonWriter(body)
      .begin_object()
      .key("error")
      .begin_object()
      .field("code", code)
      .field("message", message)
      .end_object()
      .end_object();
  return {.status = status, .body = std::move(body)};
}

HttpResponse http_json(const Json& value) { return {.body = to_json_text(value)}; }

std::string_view in_query(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view one = query.substr(0, query.find('&'));
    const std::size_t equals = one.find('=');
    if (equals != std::string_view::npos && one.substr(0, equals) == name) {
      return one.substr(equals + 1);
    }
    query.remove_prefix(one.size() == query.size() ? one.size() : one.size() + 1);
  }
  return {};
}

void Routes::add(std::string method, std::string path, Handler handler) {
  routes_.push_back(
      {.method = std::move(method), .path = std::move(path), .handler = std::move(handler)});
}

void Routes::handle(const HttpRequest& request, const Respond& respond) const {
  const Route* best = nullptr;
  bool has_path = false;
  for (const Route& route : routes_) {
    if (!fits(route.path, request.path)) continue;
    has_path = true;
    if (route.method != request.method) continue;
    if (best == nullptr || route.path.size() > best->path.size()) best = &route;
  }
  if (best != nullptr) return best->handler(request, respond);
  if (has_path) {
    return respond(http_error(405, "method_not_allowed",
                              fmt::format("`{}` is not answered here", request.method)));
  }
  respond(http_error(404, "not_found", "there is nothing at this path"));
}

}  // namespace limitr::server
