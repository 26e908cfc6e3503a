// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <limitr/result.h>

namespace limitr::cloud {

/// Where a server is.
struct Address {
  bool is_tls = false;
  std::string host = {};  ///< A name or an IP address, without brackets.
  std::string port = {};
  std::string prefix = {};  ///< What paths begin with: empty, or /path.

  /// host:port as it stands in a URL.
  std::string authority() const;
};

/// Reads http://host[:port][/path] and https://... Errors: invalid_argument, naming the text.
Result<Address> parse_address(std::string_view text);

}  // namespace limitr::cloud
