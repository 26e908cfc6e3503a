// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/store.h"

// A store that fails as it is told to.
namespace limitr {

// What the store is to do from now on, besides what it is asked.
struct Faults {
  std::atomic<int> refuse{0};         // So many commits write nothing, and say so.
  std::atomic<int> lose_answer{0};    // So many commits write, and nobody learns of it.
  std::atomic<int> lose_question{0};  // So many commits write nothing, and nobody learns of it.
  std::atomic<bool> holds{false};     // What is written waits until this is over.
  std::atomic<bool> gone{false};      // It cannot be opened, and takes nothing.
  std::atomic<bool> goes_when_lost{false};  // It is gone after a lost question or answer.
  std::atomic<int> commits{0};
  std::atomic<std::size_t> customers{0};  // in all commits
  std::atomic<bool> cannot_read{false};   // Neither read() nor scan().
  std::atomic<int> reads{0};
  std::atomic<int> scans{0};
  std::atomic<std::size_t> requests{0};      // new ones, in all commits
  std::atomic<std::uint64_t> last_group{0};  // What it says of itself when it is opened, if not 0.
  std::atomic<bool> damages{false};          // What exchange() finds is damaged.
  std::unique_ptr<store::Store> failover;    // Takes the store's place when it is opened next.
  std::function<void()> before_commit;       // Once.
  std::function<void(std::size_t transactions)> before_exchange;  // Each time.
  std::function<void()> before_close;                             // Once.
  std::function<void()> expire;      // Ends the ownership of the store opened last.
  std::function<void()> after_read;  // What comes between the next read() and its answer.
};

inline bool take(std::atomic<int>& count) {
  int left = count.load();
  while (left > 0 && !count.compare_exchange_weak(left, left - 1)) {
  }
  return left > 0;
}

class FaultyStore final : public store::Store {
public:
  FaultyStore(std::unique_ptr<Store> under, std::shared_ptr<Faults> faults)
      : under_(std::move(under)), faults_(std::move(faults)) {
    faults_->expire = [this] { (void)under_->close(); };
  }

  Result<store::Opened> open(store::Access access, const store::Owner& owner) override {
    if (faults_->gone) return unavailable();
    if (faults_->failover) under_ = std::move(faults_->failover);
    auto opened = under_->open(access, owner);
    if (opened.ok() && faults_->last_group != 0) opened->last_group = faults_->last_group;
    return opened;
  }
  Result<void> commit(const store::Group& group) override {
    wait_while_held();
    ++faults_->commits;
    faults_->customers += group.customers.size();
    for (const auto& write : group.customers) faults_->requests += write.new_requests.size();
    if (const auto before = std::exchange(faults_->before_commit, nullptr)) before();
    if (faults_->gone || take(faults_->refuse)) return unavailable();
    const Error unknown{.code = ErrorCode::outcome_unknown, .message = "the connection broke off"};
    if (take(faults_->lose_question)) {
      faults_->gone = faults_->goes_when_lost.load();
      return unknown;
    }
    Result<void> written = under_->commit(group);
    if (take(faults_->lose_answer)) {
      faults_->gone = faults_->goes_when_lost.load();
      return unknown;
    }
    return written;
  }
  Result<std::vector<store::Exchanged>> exchange(
      std::span<const store::Transaction> transactions) override {
    wait_while_held();
    ++faults_->commits;
    // Copied: it may end itself.
    if (const auto before = faults_->before_exchange) before(transactions.size());
    if (faults_->gone || take(faults_->refuse)) return unavailable();
    const Error unknown{.code = ErrorCode::outcome_unknown, .message = "the connection broke off"};
    if (take(faults_->lose_question)) {
      faults_->gone = faults_->goes_when_lost.load();
      return unknown;
    }
    auto exchanged = under_->exchange(transactions);
    if (take(faults_->lose_answer)) {
      faults_->gone = faults_->goes_when_lost.load();
      return unknown;
    }
    if (exchanged.ok() && faults_->damages) {
      for (store::Exchanged& one : *exchanged) {
        for (store::StoredCustomer& customer : one.current) {
          customer.record.clear();
          customer.damage = Error{.code = ErrorCode::data_corrupt, .message = "damaged"};
        }
      }
    }
    return exchanged;
  }
  Result<void> renew() override { return under_->renew(); }
  bool has_lost() override { return under_->has_lost(); }
  Result<std::uint64_t> last_group() override { return under_->last_group(); }
  Result<std::vector<store::StoredCustomer>> read(std::span<const std::string> ids) override {
    ++faults_->reads;
    if (faults_->cannot_read) return unavailable();
    auto found = under_->read(ids);
    if (const auto between = std::exchange(faults_->after_read, nullptr)) between();
    return found;
  }
  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(store::StoredCustomer)>& visit) override {
    ++faults_->scans;
    if (faults_->cannot_read) return unavailable();
    return under_->scan_after(after, visit);
  }
  Result<store::Status> status() override { return under_->status(); }
  Result<void> close() override {
    if (const auto before = std::exchange(faults_->before_close, nullptr)) before();
    return under_->close();
  }

private:
  void wait_while_held() const {
    while (faults_->holds) std::this_thread::yield();
  }
  static Error unavailable() {
    return {.code = ErrorCode::store_unavailable, .message = "the disk is full"};
  }
  std::unique_ptr<Store> under_;
  const std::shared_ptr<Faults> faults_;
};

}  // namespace limitr
