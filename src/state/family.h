// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <cstdint>
#include <span>
#include <vector>

#include <absl/container/inlined_vector.h>

#include "state/customer.h"

namespace limitr::state {

/// The customers that a call may touch: the caller, and those its refs reach. Refs are resolved to
/// members' numbers, in the order of each customer's refs; refs to nobody are left out. The
/// customers belong to somebody else, who keeps them from changing meanwhile.
class Family {
public:
  using Index = std::uint32_t;
  static constexpr Index caller = 0;

  explicit Family(Customer& caller_customer) { members_.push_back(&caller_customer); }

  std::size_t size() const { return members_.size(); }
  const Customer& operator[](Index i) const { return *members_[i]; }
  Customer& at(Index i) { return *members_[i]; }
  std::span<const Index> refs(Index i) const {
    return i < refs_.size() ? std::span<const Index>(refs_[i]) : std::span<const Index>();
  }

  Index add(Customer& customer) {
    members_.push_back(&customer);
    return static_cast<Index>(members_.size() - 1);
  }
  void add_ref(Index from, Index to) {
    if (refs_.size() <= from) refs_.resize(from + 1);
    refs_[from].push_back(to);
  }

private:
  absl::InlinedVector<Customer*, 4> members_;
  std::vector<std::vector<Index>> refs_;
};

}  // namespace limitr::state
