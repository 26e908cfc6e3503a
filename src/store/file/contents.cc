// SPDX-License-Identifier: Apache-2.0
#include "store/file/contents.h"

#include <algorithm>
#include <utility>

namespace limitr::store::file {
namespace {

using Requests = std::vector<std::shared_ptr<const StoredRequest>>;

std::uint64_t number_of(const std::shared_ptr<const StoredRequest>& request) {
  return request->number;
}

Requests merged(const Requests& before, const CustomerWrite& write) {
  Requests requests;
  requests.reserve(before.size() + write.new_requests.size());
  const auto first = std::ranges::lower_bound(before, write.first_request, {}, number_of);
  requests.assign(first, before.end());
  for (const StoredRequest& added : write.new_requests) {
    auto request = std::make_shared<const StoredRequest>(added);
    const auto at = std::ranges::lower_bound(requests, added.number, {}, number_of);
    if (at != requests.end() && (*at)->number == added.number) {
      *at = std::move(request);
    } else {
      requests.insert(at, std::move(request));
    }
  }
  return requests;
}

}  // namespace

void Contents::apply(const Group& group) {
  for (const CustomerWrite& write : group.customers) apply(group.number, write);
  if (group.estimates) estimates = Text{.text = *group.estimates};
  if (group.policy) policy = Text{.text = *group.policy};
  last_group = group.number;
}

void Contents::apply(std::uint64_t group, const CustomerWrite& write) {
  if (!write.record) return forget(write.id);
  Kept kept{.version = group, .record = *write.record, .alt_ids = write.alt_ids};
  const auto before = customers_.find(write.id);
  kept.requests = merged(before == customers_.end() ? Requests() : before->second->requests, write);
  put(write.id, std::make_shared<const Kept>(std::move(kept)));
}

void Contents::put(const std::string& id, KeptPointer kept) {
  forget(id);
  for (const std::string& alt : kept->alt_ids) alts_[alt] = id;
  requests_ += kept->requests.size();
  customers_[id] = std::move(kept);
}

void Contents::forget(const std::string& id) {
  const auto found = customers_.find(id);
  if (found == customers_.end()) return;
  for (const std::string& alt : found->second->alt_ids) {
    if (leads_to(alt, id)) alts_.erase(alt);
  }
  requests_ -= found->second->requests.size();
  customers_.erase(found);
}

std::pair<std::string_view, KeptPointer> Contents::find(const std::string& name) const {
  auto customer = customers_.find(name);
  if (customer == customers_.end()) {
    const auto alt = alts_.find(name);
    if (alt != alts_.end()) customer = customers_.find(alt->second);
  }
  if (customer == customers_.end()) return {};
  return {customer->first, customer->second};
}

bool Contents::leads_to(const std::string& alt, std::string_view id) const {
  const auto found = alts_.find(alt);
  return found != alts_.end() && found->second == id;
}

StoredCustomer to_stored(std::string_view id, const Kept& kept) {
  StoredCustomer stored;
  stored.id = id;
  stored.version = kept.version;
  stored.record = kept.record;
  stored.requests.reserve(kept.requests.size());
  for (const auto& request : kept.requests) stored.requests.push_back(*request);
  if (kept.damage) stored.damage = Error{.code = ErrorCode::data_corrupt, .message = *kept.damage};
  return stored;
}

}  // namespace limitr::store::file
