// SPDX-License-Identifier: Apache-2.0
#include "server/tickets.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include <sys/random.h>

#include <fmt/format.h>

namespace limitr::server {

Result<std::string> Tickets::issue(Caller caller, Millis now) {
  forget_over(now);
  if (issued_.size() >= most) {
    return Error{.code = ErrorCode::store_unavailable,
                 .message = fmt::format("there were {} tickets within {} s: try again later", most,
                                        lasts.count() / 1000)};
  }
  std::array<unsigned char, 32> bits{};
  if (::getrandom(bits.data(), bits.size(), 0) != static_cast<ssize_t>(bits.size())) {
    return Error{.code = ErrorCode::io_failed, .message = "the machine has no random bits"};
  }
  std::string ticket = fmt::format("{:02x}", fmt::join(bits, ""));
  tickets_[ticket] = {.caller = std::move(caller), .expires = now + lasts};
  issued_.push_back(ticket);
  return ticket;
}

void Tickets::forget_over(Millis now) {
  while (!issued_.empty()) {
    const auto first = tickets_.find(issued_.front());
    if (first != tickets_.end() && first->second.expires > now) return;
    if (first != tickets_.end()) tickets_.erase(first);
    issued_.pop_front();
  }
}

std::optional<Caller> Tickets::redeem(std::string_view ticket, Millis now) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return std::nullopt;
  Ticket redeemed = std::move(found->second);
  tickets_.erase(found);
  if (redeemed.expires <= now) return std::nullopt;
  return std::move(redeemed.caller);
}

Millis Attempts::wait(const std::string& address, Millis now) const {
  const auto found = until_.find(address);
  if (found == until_.end()) return Millis(0);
  return std::max(Millis(0), found->second - now - each() * (count() - 1));
}

void Attempts::failed(const std::string& address, Millis now) {
  if (now - cleared_ >= Millis(1000)) {
    cleared_ = now;
    std::erase_if(until_, [&](const auto& one) { return one.second <= now; });
  }
  if (until_.size() >= most && !until_.contains(address)) until_.erase(until_.begin());
  Millis& until = until_[address];
  until = std::max(until, now) + each();
}

std::string Attempts::who(std::string_view address) {
  // Of the old kind, as a socket of the new kind has it.
  constexpr std::string_view mapped = "::ffff:";
  if (address.starts_with(mapped) && address.find('.') != std::string_view::npos) {
    return std::string(address.substr(mapped.size()));
  }
  std::size_t colons = 0;
  for (std::size_t i = 0; i < address.size(); ++i) {
    if (address[i] != ':') continue;
    // The first four groups of an address that is written out, or what is before `::`.
    if (++colons == 4 || address.substr(i).starts_with("::")) {
      return std::string(address.substr(0, i));
    }
  }
  return std::string(address);
}

}  // namespace limitr::server
