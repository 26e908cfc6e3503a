// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <utility>

#include "base/amount.h"
#include "base/pool.h"
#include "base/symbols.h"

namespace limitr::state {

/// The last three calls on a meter, oldest first.
class History {
public:
  struct Entry {
    MaybeTime at;
    double delta = 0;
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  std::size_t size() const {
    const auto count = [this](std::size_t i) { return entries_[i].at.has_value() ? 1U : 0U; };
    return count(0) + count(1) + count(2);
  }
  /// REQUIRES: i < size().
  const Entry& operator[](std::size_t i) const { return entries_[i]; }
  void push(Timestamp at, double delta) {
    const std::size_t count = size();
    if (count < entries_.size()) {
      entries_[count] = {.at = at, .delta = delta};
      return;
    }
    entries_[0] = entries_[1];
    entries_[1] = entries_[2];
    entries_[2] = {.at = at, .delta = delta};
  }

  /// Units per ms of the last entry over the time since the one before; 0 where there is none.
  double rate() const;
  /// What rate() is going to be after push(at, delta).
  double rate_with(Timestamp at, double delta) const {
    const std::size_t count = size();
    return count == 0 ? 0.0 : per_ms(delta, *entries_[count - 1].at, at);
  }
  double acceleration() const;

  friend bool operator==(const History&, const History&) = default;

private:
  static double per_ms(double delta, Timestamp from, Timestamp to) {
    return to > from ? delta / static_cast<double>((to - from).count()) : 0.0;
  }

  std::array<Entry, 3> entries_;  // those that are absent stand last
};

/// One customer's usage of one entitlement in the current period.
struct Meter {
  Symbol entitlement = Symbol::empty;
  Symbol credit = Symbol::empty;  ///< Empty for a meter that only learns estimates.
  Timestamp started = {};
  double value = 0;
  MaybeAmount overhead = {};  ///< Absent until the first call.
  MaybeAmount ewma_rate = {};
  History history = {};
  friend bool operator==(const Meter&, const Meter&) = default;
};
static_assert(sizeof(Meter) == 88);

/// A customer's meters, in the order in which they came. The first stands in the customer itself,
/// where a call that looks at the customer has it at hand; the others stand elsewhere, in a row.
class Meters {
  template <typename Owner, typename Element>
  class Iterator {
  public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = Meter;
    using difference_type = std::ptrdiff_t;
    using pointer = Element*;
    using reference = Element&;

    Iterator() = default;
    Iterator(Owner& meters, std::size_t i) : meters_(&meters), i_(i) {}
    Element& operator*() const { return (*meters_)[i_]; }
    Element* operator->() const { return &**this; }
    Iterator& operator++() { return ++i_, *this; }
    Iterator operator++(int) { return {*meters_, i_++}; }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.i_ == b.i_; }

  private:
    Owner* meters_ = nullptr;
    std::size_t i_ = 0;
  };

public:
  using value_type = Meter;
  using iterator = Iterator<Meters, Meter>;
  using const_iterator = Iterator<const Meters, const Meter>;

  Meters() = default;
  Meters(std::initializer_list<Meter> meters) {
    reserve(meters.size());
    for (const Meter& meter : meters) push_back(meter);
  }
  Meters(const Meters& other)
      : first_(other.first_),
        rest_(room_for(other.rest_size())),
        size_(other.size_),
        rest_room_(static_cast<std::uint32_t>(other.rest_size())) {
    std::uninitialized_copy_n(other.rest_, rest_size(), rest_);
  }
  Meters(Meters&& other) noexcept
      : first_(other.first_),
        rest_(std::exchange(other.rest_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        rest_room_(std::exchange(other.rest_room_, 0)) {}
  Meters& operator=(Meters other) noexcept {
    std::swap(first_, other.first_);
    std::swap(rest_, other.rest_);
    std::swap(size_, other.size_);
    std::swap(rest_room_, other.rest_room_);
    return *this;
  }
  ~Meters() { give_back_rest(); }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  /// REQUIRES: i < size().
  Meter& operator[](std::size_t i) {
    assert(i < size_);
    return i == 0 ? first_ : rest_[i - 1];
  }
  const Meter& operator[](std::size_t i) const { return const_cast<Meters&>(*this)[i]; }
  Meter& front() { return (*this)[0]; }
  const Meter& front() const { return (*this)[0]; }
  iterator begin() { return {*this, 0}; }
  iterator end() { return {*this, size_}; }
  const_iterator begin() const { return {*this, 0}; }
  const_iterator end() const { return {*this, size_}; }

  /// Null where there is none.
  const Meter* find(Symbol entitlement) const {
    if (size_ == 0) return nullptr;
    if (first_.entitlement == entitlement) return &first_;
    for (const Meter* meter = rest_; meter != rest_ + rest_size(); ++meter) {
      if (meter->entitlement == entitlement) return meter;
    }
    return nullptr;
  }

  void reserve(std::size_t count) {
    if (count > 1 && count - 1 > rest_room_) move_rest(count - 1);
  }
  /// Gives back what is reserved and not used.
  void shrink_to_fit() {
    if (rest_room_ > rest_size()) move_rest(rest_size());
  }
  Meter& emplace_back() {
    if (size_ != 0 && rest_size() == rest_room_) move_rest(2 * std::size_t{rest_room_} + 1);
    ++size_;
    return (*this)[size_ - 1] = {};
  }
  void push_back(const Meter& meter) { emplace_back() = meter; }
  void clear() { *this = {}; }

  friend bool operator==(const Meters& a, const Meters& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

private:
  static Meter* room_for(std::size_t count) {
    return count == 0 ? nullptr : PoolAllocator<Meter>().allocate(count);
  }
  std::size_t rest_size() const { return size_ == 0 ? 0 : size_ - 1; }
  void give_back_rest() noexcept {
    if (rest_ != nullptr) PoolAllocator<Meter>().deallocate(rest_, rest_room_);
  }
  // REQUIRES: room for those that are there.
  void move_rest(std::size_t room) {
    Meter* rest = room_for(room);
    std::uninitialized_copy_n(rest_, rest_size(), rest);
    give_back_rest();
    rest_ = rest;
    rest_room_ = static_cast<std::uint32_t>(room);
  }

  Meter first_;  // where there is any
  Meter* rest_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t rest_room_ = 0;
};

}  // namespace limitr::state
