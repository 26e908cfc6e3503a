// SPDX-License-Identifier: Apache-2.0
#include "server/token.h"

#include <algorithm>
#include <array>

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <fmt/format.h>

#include "store/checksum.h"

namespace limitr::server {
namespace {

constexpr std::string_view digits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view live_prefix = "lim_live_";
constexpr std::string_view test_prefix = "lim_test_";
static_assert(live_prefix.size() == test_prefix.size());
constexpr std::size_t random_digits = 43;  // 62^43 > 2^256
constexpr std::size_t check_digits = 6;

std::string check_of(std::string_view text) {
  std::uint64_t rest = store::Checksum().add(text).value();
  std::string check;
  for (std::size_t i = 0; i < check_digits; ++i, rest /= digits.size()) {
    check += digits[rest % digits.size()];
  }
  return check;
}

/// Appends random digits, each as likely as any other.
bool add_random(std::string& text) {
  constexpr std::size_t fair = 256 - 256 % digits.size();
  const std::size_t end = text.size() + random_digits;
  while (text.size() < end) {
    std::array<unsigned char, 64> bytes = {};
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
    for (const unsigned char byte : bytes) {
      if (byte < fair && text.size() < end) text += digits[byte % digits.size()];
    }
    OPENSSL_cleanse(bytes.data(), bytes.size());
  }
  return true;
}

struct NamedScope {
  std::string_view name;
  bool Scopes::* member;
};
constexpr NamedScope all_scopes[] = {
    {"engine", &Scopes::engine}, {"read", &Scopes::read}, {"admin", &Scopes::admin}};

}  // namespace

std::string to_string(const Scopes& scopes) {
  std::string text;
  for (const NamedScope& scope : all_scopes) {
    if (!(scopes.*scope.member)) continue;
    if (!text.empty()) text += ',';
    text += scope.name;
  }
  return text;
}

Result<Scopes> read_scopes(std::string_view text) {
  Scopes scopes;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view name = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto* found = std::ranges::find(all_scopes, name, &NamedScope::name);
    if (found == std::end(all_scopes)) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("`{}` is no scope: use engine, read or admin", name)};
    }
    scopes.*found->member = true;
  }
  return scopes;
}

std::string_view to_string(TokenKind kind) { return kind == TokenKind::live ? "live" : "test"; }

Result<std::string> make_token(TokenKind kind) {
  std::string token(kind == TokenKind::live ? live_prefix : test_prefix);
  if (!add_random(token)) {
    return Error{.code = ErrorCode::io_failed, .message = "the machine gives no random bits"};
  }
  return token + check_of(token);
}

bool is_well_formed(std::string_view token) {
  if (!token.starts_with(live_prefix) && !token.starts_with(test_prefix)) return false;
  if (token.size() != live_prefix.size() + random_digits + check_digits) return false;
  const std::string_view said = token.substr(token.size() - check_digits);
  return check_of(token.substr(0, token.size() - check_digits)) == said;
}

std::string token_hash(std::string_view token) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> sum = {};
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), sum.data());
  std::string text;
  for (const unsigned char byte : sum) text += fmt::format("{:02x}", byte);
  return text;
}

bool is_same_hash(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace limitr::server
