// SPDX-License-Identifier: Apache-2.0
#include "server/token.h"

#include <string>
#include <utility>

#include "base/json_writer.h"
#include "fuzz.h"

// The input: what somebody shows as a token, or names as scopes.
//
// 1. A token that is well formed is not any more when one of its characters is another.
// 2. What is kept of a token is 64 hexadecimal digits, and the same each time.
// 3. Scopes are read and written back, or refused with what is wrong.
namespace limitr::fuzz {
namespace {

void read_token(std::string_view text) {
  const std::string hash = server::token_hash(text);
  require(hash.size() == 64 && hash.find_first_not_of("0123456789abcdef") == std::string::npos,
          "a hash is 64 digits", hash);
  require(server::is_same_hash(hash, server::token_hash(text)), "a hash stays the same");
  if (!server::is_well_formed(text)) return;
  std::string mistyped(text);
  for (char& character : mistyped) {
    const char right = std::exchange(character, character == 'x' ? 'y' : 'x');
    require(!server::is_well_formed(mistyped), "a mistyped token is known to be one", mistyped);
    character = right;
  }
}

void read_scopes(std::string_view text) {
  const Result<server::Scopes> scopes = server::read_scopes(text);
  if (!scopes.ok()) {
    require(scopes.error().code == ErrorCode::invalid_argument, "scopes are refused as such");
    require(!is_utf8(text) || is_utf8(scopes.error().to_string()), "a refusal can be shown");
    return;
  }
  const Result<server::Scopes> again = server::read_scopes(to_string(*scopes));
  require(again.ok() && *again == *scopes, "scopes are read back", to_string(*scopes));
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = limitr::fuzz::text_of(data, size);
  limitr::fuzz::read_token(text);
  limitr::fuzz::read_scopes(text);
  return 0;
}
