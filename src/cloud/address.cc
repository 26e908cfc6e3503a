// SPDX-License-Identifier: Apache-2.0
#include "cloud/address.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include <fmt/format.h>

namespace limitr::cloud {
namespace {

bool is_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, port);
  return read.ec == std::errc() && read.ptr == end && port != 0;
}

// What may stand in a host or a path: it goes into a request as it is.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f && std::string_view("@?#\\\"<>").find(c) == std::string_view::npos;
  });
}

}  // namespace

std::string Address::authority() const {
  const bool is_ip6 = host.find(':') != std::string::npos;
  return is_ip6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Result<Address> parse_address(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is no address of a server: {}; one is "
                                        "http://localhost:4242",
                                        text, why)};
  };
  Address address;
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    address.is_tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return wrong("it begins with http:// or https://");
  }
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  address.prefix = rest.substr(slash);
  while (address.prefix.ends_with('/')) address.prefix.pop_back();
  rest = rest.substr(0, slash);
  std::string_view port = address.is_tls ? "443" : "80";
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return wrong("a bracket is missing");
    address.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && rest.front() != ':') return wrong("the port follows `:`");
    if (!rest.empty()) port = rest.substr(1);
  } else {
    const std::size_t colon = rest.find(':');
    address.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) port = rest.substr(colon + 1);
  }
  if (address.host.empty()) return wrong("it names no host");
  if (!is_plain(address.host) || !is_plain(address.prefix)) {
    return wrong("it has characters that it cannot have");
  }
  if (!is_port(port)) return wrong("the port is a number from 1 to 65535");
  address.port = port;
  return address;
}

}  // namespace limitr::cloud
