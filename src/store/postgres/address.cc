// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/address.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include <libpq-fe.h>

#include <fmt/format.h>

namespace limitr::store::postgres {
namespace {

constexpr Millis lease_min{100};
constexpr Millis lease_max{3'600'000};
constexpr std::size_t schema_name_max = 63;  // PostgreSQL's own bound

Error bad_url(std::string_view what) {
  return {.code = ErrorCode::invalid_argument,
          .message = fmt::format("the URL of the PostgreSQL store {}", what)};
}

/// A schema's name, so plain that it needs no quotes to be typed by hand.
bool is_schema_name(std::string_view name) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && name.size() <= schema_name_max && std::ranges::all_of(name, is_plain) &&
         !(name[0] >= '0' && name[0] <= '9') && !name.starts_with("pg_");
}

Result<void> take_own(std::string_view key, std::string_view value, Address& address) {
  if (key == "schema") {
    address.schema = value;
    if (is_schema_name(value)) return {};
    return bad_url("names a `schema` that is none: use up to 63 of a-z, 0-9 and _, no `pg_` first");
  }
  std::int64_t lease = 0;
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), lease);
  address.lease = Millis(lease);
  if (code == std::errc() && end == value.data() + value.size() && address.lease >= lease_min &&
      address.lease <= lease_max) {
    return {};
  }
  return bad_url("has a `lease` that is none: use 100 to 3600000, in milliseconds");
}

/// Where host, database and parameters begin: behind user and password, if there are any. As libpq
/// finds it.
std::size_t begin_of_place(std::string_view url) {
  const std::size_t begin = url.find("://") + 3;
  const std::size_t end = url.find_first_of("@/", begin);
  return end != std::string_view::npos && url[end] == '@' ? end + 1 : begin;
}

/// The URL without the parameters that are ours.
Result<std::string> without_own(std::string_view url, Address& address) {
  const std::size_t question = url.find('?', begin_of_place(url));
  std::string rest(url.substr(0, question));
  if (question == std::string_view::npos) return rest;
  char divider = '?';
  for (std::string_view query = url.substr(question + 1); !query.empty();) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view parameter = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = std::min(parameter.find('='), parameter.size());
    const std::string_view key = parameter.substr(0, equals);
    if (key == "schema" || key == "lease") {
      const std::string_view value = parameter.substr(std::min(equals + 1, parameter.size()));
      if (auto taken = take_own(key, value, address); !taken.ok()) return std::move(taken).error();
      continue;
    }
    rest += divider;
    rest += parameter;
    divider = '&';
  }
  return rest;
}

/// What is left of a password that was not encoded would be taken for a host or a database, and
/// named in messages.
bool may_show_password(std::string_view url) {
  std::string_view place = url.substr(begin_of_place(url));
  place = place.substr(0, place.find('?'));
  return place.find('@') != std::string_view::npos;
}

struct FreeSettings {
  void operator()(PQconninfoOption* settings) const noexcept { PQconninfoFree(settings); }
};

bool are_ports(std::string_view ports) {
  return std::ranges::all_of(ports, [](char c) { return (c >= '0' && c <= '9') || c == ','; });
}

void name_it(Address& address) {
  std::string host, port, database;
  for (const auto& [key, value] : address.settings) {
    if (key == "host") host = value;
    if (key == "hostaddr" && host.empty()) host = value;
    if (key == "port") port = value;
    if (key == "dbname") database = value;
  }
  address.hosts += static_cast<std::size_t>(std::ranges::count(host, ','));
  address.name = fmt::format("postgres://{}{}{}/{} schema {}", host, port.empty() ? "" : ":", port,
                             database, address.schema);
}

}  // namespace

std::string Address::shown(std::string_view text) const {
  std::string line(text);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  std::ranges::replace(line, '\n', ' ');
  std::ranges::replace(line, '\t', ' ');
  for (const std::string& secret : secrets) {
    for (std::size_t at = line.find(secret); at != std::string::npos; at = line.find(secret, at)) {
      line.replace(at, secret.size(), "***");
      at += 3;
    }
  }
  return line;
}

Result<Address> read_address(std::string_view url) {
  Address address;
  if (!url.starts_with("postgres://") && !url.starts_with("postgresql://")) {
    return bad_url("begins with postgres:// or postgresql://");
  }
  if (may_show_password(url)) {
    return bad_url("has a `@` or `/` in its user or password: write %40 and %2F");
  }
  Result<std::string> rest = without_own(url, address);
  if (!rest.ok()) return std::move(rest).error();
  char* ignored = nullptr;  // libpq's message may hold a piece of a password.
  const std::unique_ptr<PQconninfoOption, FreeSettings> settings(
      PQconninfoParse(rest->c_str(), &ignored));
  PQfreemem(ignored);
  if (!settings) {
    return bad_url(
        "is not one that libpq takes: see \"Connection URIs\" in PostgreSQL's manual; a `%` is "
        "written %25, and every parameter is one of libpq's, `schema` or `lease`");
  }
  for (const PQconninfoOption* each = settings.get(); each->keyword != nullptr; ++each) {
    if (each->val == nullptr) continue;
    address.settings.emplace_back(each->keyword, each->val);
    const std::string_view keyword = each->keyword;
    if (keyword == "port" && !are_ports(each->val)) return bad_url("has a port that is no number");
    const bool is_secret = keyword == "password" || keyword == "sslpassword";
    if (is_secret && *each->val != '\0') address.secrets.emplace_back(each->val);
  }
  name_it(address);
  return address;
}

std::string with_schema(std::string_view url, std::string_view schema) {
  const std::size_t question = url.find('?', begin_of_place(url));
  std::string changed = fmt::format("{}?schema={}", url.substr(0, question), schema);
  if (question == std::string_view::npos) return changed;
  for (std::string_view query = url.substr(question + 1); !query.empty();) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view parameter = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (!parameter.starts_with("schema=")) changed += fmt::format("&{}", parameter);
  }
  return changed;
}

}  // namespace limitr::store::postgres
