// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "state/customer.h"

namespace limitr::state {

/// The customers that a call may touch: the caller, and those its refs reach. Refs are resolved to
/// members' numbers, in the order of each customer's refs; refs to nobody are left out. The
/// customers belong to somebody else, who keeps them from changing meanwhile.
class Family {
public:
  using Index = std::uint32_t;
  static constexpr Index caller = 0;

  explicit Family(Customer& caller_customer) : caller_(&caller_customer) {}

  std::size_t size() const { return relatives_ ? relatives_->customers.size() + 1 : 1; }
  const Customer& operator[](Index i) const { return *member(i); }
  Customer& at(Index i) { return *member(i); }
  std::span<const Index> refs(Index i) const {
    if (!relatives_ || i >= relatives_->refs.size()) return {};
    return relatives_->refs[i];
  }

  Index add(Customer& customer) {
    relatives().customers.push_back(&customer);
    return static_cast<Index>(relatives_->customers.size());
  }
  void add_ref(Index from, Index to) {
    std::vector<std::vector<Index>>& refs = relatives().refs;
    if (refs.size() <= from) refs.resize(from + 1);
    refs[from].push_back(to);
  }

private:
  // Most calls concern nobody but the caller: the others only take room when there.
  struct Relatives {
    std::vector<Customer*> customers;  // of the indexes from 1 on
    std::vector<std::vector<Index>> refs;
  };

  Customer* member(Index i) const {
    assert(i < size());
    return i == caller ? caller_ : relatives_->customers[i - 1];
  }
  Relatives& relatives() {
    if (!relatives_) relatives_ = std::make_unique<Relatives>();
    return *relatives_;
  }

  Customer* caller_;
  std::unique_ptr<Relatives> relatives_;
};

}  // namespace limitr::state
