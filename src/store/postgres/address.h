// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <limitr/result.h>
#include <limitr/time.h>

namespace limitr::store::postgres {

/// Where a store is, read from its URL.
struct Address {
  std::vector<std::pair<std::string, std::string>> settings;  ///< libpq's, by name.
  std::size_t hosts = 1;
  std::string schema = "limitr";
  Millis lease{10'000};
  /// For messages: without user and password.
  std::string name;
  std::vector<std::string> secrets;

  /// libpq's text on one line, with no secret in it.
  std::string shown(std::string_view text) const;
};

/// Errors: invalid_argument. Nothing of the URL is in them that could be a secret.
Result<Address> read_address(std::string_view url);

/// The same URL, but for its schema. REQUIRES: read_address() takes it.
std::string with_schema(std::string_view url, std::string_view schema);

}  // namespace limitr::store::postgres
