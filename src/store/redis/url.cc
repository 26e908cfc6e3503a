// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "store/redis/redis_store.h"

namespace limitr::store {
namespace {

constexpr std::string_view form =
    "redis://user:password@host:port/database?prefix=limitr&lease=10000";

Error wrong(std::string message) {
  return {.code = ErrorCode::invalid_argument,
          .message = fmt::format("redis: {}; the form is {}", message, form)};
}

template <typename Number>
std::optional<Number> to_number(std::string_view text) {
  Number number{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// With %XX as the byte that it stands for.
std::optional<std::string> decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    unsigned char byte = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, failed] = std::from_chars(&text[i + 1], &text[i + 1] + 2, byte, 16);
    if (failed != std::errc() || end != &text[i + 1] + 2) return std::nullopt;
    decoded.push_back(static_cast<char>(byte));
    i += 2;
  }
  return decoded;
}

/// The part of `text` before `mark`, which is taken off together with the mark; all, where there
/// is no mark.
std::string_view take_until(std::string_view& text, char mark) {
  const std::size_t at = text.find(mark);
  const std::string_view part = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return part;
}

Result<void> read_user(std::string_view text, RedisOptions& options) {
  const bool has_password = text.find(':') != std::string_view::npos;
  const auto user = decode(take_until(text, ':'));
  const auto password = decode(text);
  if (!user || !password) return wrong("a `%` in user or password begins no byte such as %2F");
  if (!has_password || password->empty()) return wrong("before the `@` stands no password");
  options.user = *user;
  options.password = *password;
  return {};
}

Result<void> read_place(std::string_view text, RedisOptions& options) {
  if (text.empty()) return {};
  std::string_view rest = text;
  if (text.front() == '[') {  // An IPv6 address
    rest.remove_prefix(1);
    options.host = take_until(rest, ']');
    const bool is_closed = text.find(']') != std::string_view::npos;
    if (!is_closed || (!rest.empty() && rest.front() != ':')) {
      return wrong(fmt::format("`{}` is no host", text));
    }
    if (!rest.empty()) rest.remove_prefix(1);
  } else {
    options.host = take_until(rest, ':');
  }
  if (options.host.empty()) return wrong(fmt::format("`{}` names no host", text));
  if (text.back() != ':' && rest.empty()) return {};
  const auto port = to_number<std::uint16_t>(rest);
  if (!port || *port == 0) return wrong(fmt::format("`{}` is no port", rest));
  options.port = *port;
  return {};
}

Result<void> read_parameter(std::string_view text, RedisOptions& options) {
  const std::string_view name = take_until(text, '=');
  const auto value = decode(text);
  if (!value) return wrong(fmt::format("a `%` in `{}` begins no byte such as %2F", name));
  if (name == "prefix") {
    options.prefix = *value;
    if (!value->empty() && value->find_first_of("{}") == std::string::npos) return {};
    return wrong(fmt::format("`{}` is no prefix: it is not empty and has no braces", *value));
  }
  if (name == "lease") {
    const auto lease = to_number<std::uint32_t>(*value);
    if (!lease || *lease < 10) {
      return wrong(
          fmt::format("`{}` is no lease: it is a number of milliseconds, 10 at least", *value));
    }
    options.lease = Millis(*lease);
    return {};
  }
  if (name == "socket") {
    options.socket = *value;
    if (!value->empty()) return {};
    return wrong("`socket` names no path");
  }
  return wrong(fmt::format("there is no parameter `{}`: there are prefix, lease and socket", name));
}

}  // namespace

Result<RedisOptions> read_redis_url(std::string_view url) {
  const std::size_t begin = url.find("://");
  const std::string_view scheme = url.substr(0, begin);
  if (scheme == "rediss") {
    return Error{.code = ErrorCode::invalid_argument,
                 .message =
                     "rediss: this build has no TLS for Redis; go through a tunnel such as "
                     "stunnel and use redis://"};
  }
  if (scheme != "redis") return wrong("a URL begins with redis://");
  std::string_view parameters = url.substr(begin + 3);
  std::string_view place = take_until(parameters, '?');
  RedisOptions options;
  if (const std::size_t at = place.rfind('@'); at != std::string_view::npos) {
    if (auto read = read_user(place.substr(0, at), options); !read.ok()) {
      return std::move(read).error();
    }
    place.remove_prefix(at + 1);
  }
  const std::string_view host = take_until(place, '/');
  if (auto read = read_place(host, options); !read.ok()) return std::move(read).error();
  if (!place.empty()) {
    const auto database = to_number<std::uint32_t>(place);
    if (!database) return wrong(fmt::format("`{}` is no number of a database", place));
    options.database = *database;
  }
  while (!parameters.empty()) {
    auto read = read_parameter(take_until(parameters, '&'), options);
    if (!read.ok()) return std::move(read).error();
  }
  if (host.empty() && options.socket.empty()) return wrong("it names neither host nor socket");
  if (!host.empty() && !options.socket.empty()) return wrong("it names both host and socket");
  return options;
}

}  // namespace limitr::store
