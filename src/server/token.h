// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <limitr/result.h>

// What a token says, and what is kept of it. spec: cloud.md, Connecting
namespace limitr::server {

/// What a token may be used for.
struct Scopes {
  bool engine = false;  ///< To connect engines: read and write customers.
  bool read = false;    ///< To see how things are.
  bool admin = false;   ///< To change policies, projects and tokens, and see all.
  friend bool operator==(const Scopes&, const Scopes&) = default;
};

/// As in "engine,read"; empty: none.
std::string to_string(const Scopes& scopes);
/// Errors: invalid_argument, naming what is no scope.
Result<Scopes> read_scopes(std::string_view text);

enum class TokenKind : std::uint8_t { live, test };
std::string_view to_string(TokenKind kind);

/// A new token: `lim_live_` or `lim_test_`, 43 characters that hold 256 random bits, and 6 that
/// follow from all before, so that a mistyped token is known to be one without looking it up.
/// Errors: io_failed: the machine has no random bits.
Result<std::string> make_token(TokenKind kind);

/// Whether make_token() can have made it.
bool is_well_formed(std::string_view token);

/// SHA-256 of it, as 64 hexadecimal digits: all that is kept of a token.
std::string token_hash(std::string_view token);

/// In a time that does not depend on where they differ.
bool is_same_hash(std::string_view a, std::string_view b);

}  // namespace limitr::server
