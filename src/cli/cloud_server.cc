// SPDX-License-Identifier: Apache-2.0
#include "cli/cloud_server.h"

#include <cstdlib>
#include <string>
#include <utility>

#include <limitr/limitr.h>
#include "cloud/link.h"

namespace limitr::cli {
namespace {

constexpr Millis patience{15'000};

std::string token_of(const CloudUse& use) {
  if (!use.token.empty()) return use.token;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here writes to the environment
  const char* token = std::getenv("LIMITR_TOKEN");
  return token != nullptr ? token : "";
}

}  // namespace

Result<Json> ask_server(const CloudUse& use, std::string_view what, const Json& args) {
  const std::string token = token_of(use);
  if (token.empty()) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = "a server takes a token: put one in LIMITR_TOKEN, or --token"};
  }
  auto link = cloud::Link::connect({.token = token,
                                    .address = use.address,
                                    .ca_file = use.ca_file,
                                    .limitr = std::string(Limitr::version()),
                                    .log = [](std::string_view) {}});
  if (!link.ok()) return std::move(link).error();
  auto done = (*link)->ask_for<wire::Done>(wire::Admin{std::string(what), args}, patience);
  // Whether the server hears the good-bye changes nothing: it has no lease to end.
  [[maybe_unused]] const Result<void> closed = (*link)->close(patience);
  if (!done.ok()) return std::move(done).error();
  return std::move(done->value);
}

}  // namespace limitr::cli
