// SPDX-License-Identifier: Apache-2.0
#include "server/http.h"

#include <string>

#include <gtest/gtest.h>

namespace limitr::server {
namespace {

std::string answer(const Routes& routes, std::string method, std::string path) {
  std::string body;
  HttpRequest request;
  request.method = std::move(method);
  request.path = std::move(path);
  routes.handle(std::move(request), [&](const HttpResponse& response) {
    body = response.status == 200 ? response.body : std::to_string(response.status);
  });
  return body;
}

Routes::Handler says(std::string text) {
  return [text](const HttpRequest&, const Routes::Respond& respond) { respond({.body = text}); };
}

TEST(Routes, TheLongestPathThatFitsAnswers) {
  Routes routes;
  routes.add("GET", "/healthz", says("health"));
  routes.add("GET", "/v1/", says("api"));
  routes.add("GET", "/v1/customers/", says("customers"));
  routes.add("POST", "/v1/customers/", says("made"));
  EXPECT_EQ(answer(routes, "GET", "/healthz"), "health");
  EXPECT_EQ(answer(routes, "GET", "/v1/usage"), "api");
  EXPECT_EQ(answer(routes, "GET", "/v1/customers/ann"), "customers");
  EXPECT_EQ(answer(routes, "POST", "/v1/customers/ann"), "made");
  EXPECT_EQ(answer(routes, "POST", "/healthz"), "405");
  EXPECT_EQ(answer(routes, "GET", "/healthz/more"), "404");
  EXPECT_EQ(answer(routes, "GET", "/v1"), "404");
  EXPECT_EQ(answer(routes, "GET", "/"), "404");
}

TEST(Http, AValueIsFoundInAQuery) {
  EXPECT_EQ(in_query("ticket=abc", "ticket"), "abc");
  EXPECT_EQ(in_query("a=1&ticket=abc&b=", "ticket"), "abc");
  EXPECT_EQ(in_query("a=1&ticket=abc&b=", "b"), "");
  EXPECT_EQ(in_query("tickets=abc&&ticket", "ticket"), "");
  EXPECT_EQ(in_query("", "ticket"), "");
}

TEST(Http, AnErrorIsJson) {
  const Json body = Json::parse(http_error(401, "unauthorized", "a \"bad\" token").body);
  EXPECT_EQ(body["error"]["code"], "unauthorized");
  EXPECT_EQ(body["error"]["message"], "a \"bad\" token");
}

}  // namespace
}  // namespace limitr::server
