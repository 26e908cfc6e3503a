// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends.h"

namespace limitr::store {

/// What engines may do with few names, each of which is an ID, or an alternate one, or free: a
/// group has each customer once, in the order in which they were first changed, and one that was
/// removed is another than one that is made of the same ID after it.
class DrawnGroups {
public:
  struct Kept {
    std::string record;
    std::vector<std::string> alt_ids = {};
    std::vector<StoredRequest> requests = {};
  };

  explicit DrawnGroups(std::uint64_t seed) : drawn_(seed) {}

  Group next() { return next(1 + below(6)); }
  /// Of so many changes at most.
  Group next(std::size_t steps) {
    writes_.clear();
    for (; steps > 0; --steps) step();
    Group group = a_group(++number_, {});
    for (Touched& touched : writes_) {
      if (touched.write.record) {
        touched.write.record = kept_.at(touched.write.id).record;
        touched.write.alt_ids = kept_.at(touched.write.id).alt_ids;
      }
      group.customers.push_back(std::move(touched.write));
    }
    return group;
  }

  const std::map<std::string, Kept>& kept() const { return kept_; }
  /// Whose record that name leads to; null: nobody's.
  const Kept* find(const std::string& name) const {
    for (const auto& [id, customer] : kept_) {
      if (id == name || std::ranges::count(customer.alt_ids, name) > 0) return &customer;
    }
    return nullptr;
  }
  static const std::vector<std::string>& names() {
    static const std::vector<std::string> all = {"ann", "bob", "cyd", "{t}d", "{t}e", "f"};
    return all;
  }

private:
  struct Touched {
    CustomerWrite write;
    bool is_over = false;
  };

  std::size_t below(std::size_t bound) { return drawn_() % bound; }
  const std::string& name() { return names()[below(names().size())]; }

  CustomerWrite& touch(const std::string& id) {
    for (Touched& touched : writes_) {
      if (touched.write.id == id && !touched.is_over) return touched.write;
    }
    return writes_.emplace_back(Touched{.write = put(id, "")}).write;
  }

  void step() {
    const std::string id = name();
    const auto place = kept_.find(id);
    if (place == kept_.end() && find(id) != nullptr) return;
    CustomerWrite& write = touch(id);
    if (place != kept_.end() && below(3) == 0) {
      write = removal(id);
      for (Touched& touched : writes_) touched.is_over |= touched.write.id == id;
      kept_.erase(place);
      return;
    }
    Kept& customer = kept_[id];
    customer.record = std::to_string(++records_);
    if (!customer.alt_ids.empty() && below(2) == 0) customer.alt_ids.pop_back();
    if (const std::string& alt = name(); find(alt) == nullptr) customer.alt_ids.push_back(alt);
    if (below(3) == 0) add_request(customer, write);
    if (!customer.requests.empty() && below(4) == 0) {
      customer.requests.erase(customer.requests.begin());
    }
    write.first_request =
        customer.requests.empty() ? ++requests_ : customer.requests.front().number;
    std::erase_if(write.new_requests, [&](const StoredRequest& request) {
      return request.number < write.first_request;
    });
  }

  void add_request(Kept& customer, CustomerWrite& write) {
    customer.requests.push_back(a_request(++requests_));
    write.new_requests.push_back(customer.requests.back());
  }

  std::mt19937_64 drawn_;
  std::uint64_t number_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t requests_ = 0;  // The last number that any had.
  std::map<std::string, Kept> kept_;
  std::vector<Touched> writes_;
};

/// All that was drawn, and nothing else, is in the store.
inline void expect_kept(Store& store, const DrawnGroups& drawn) {
  std::size_t requests = 0;
  std::vector<std::string> expected;
  for (const auto& [id, customer] : drawn.kept()) {
    expected.push_back(id + " " + customer.record);
    requests += customer.requests.size();
  }
  std::vector<std::string> found;
  for (const StoredCustomer& customer : scan_all(store)) {
    found.push_back(customer.id + " " + customer.record);
    EXPECT_EQ(customer.requests, drawn.kept().at(customer.id).requests) << customer.id;
  }
  ASSERT_EQ(found, expected);
  for (const std::string& name : DrawnGroups::names()) {
    const DrawnGroups::Kept* const kept = drawn.find(name);
    ASSERT_EQ(record_of(store, name), kept == nullptr ? "-" : kept->record) << name;
  }
  const Result<Status> status = store.status();
  ASSERT_TRUE(status.ok());
  ASSERT_EQ(status->customers, expected.size());
  ASSERT_EQ(status->requests, requests);
}

}  // namespace limitr::store
