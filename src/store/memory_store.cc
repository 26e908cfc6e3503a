// SPDX-License-Identifier: Apache-2.0
#include "store/memory_store.h"

#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include <fmt/format.h>

namespace limitr::store {
namespace {

// What the stores of one name share.
struct Memory {
  std::mutex mutex;
  std::map<std::string, StoredCustomer> customers;
  std::map<std::string, std::string> alts;  // alternate ID -> customer
  std::optional<std::string> estimates;
  std::optional<std::string> policy;
  std::uint64_t last_group = 0;
  std::uint64_t epoch = 0;
  std::optional<Owner> owner;
  std::map<const Store*, Owner> sharers;
  // Writer -> the numbers of its last transactions -> the versions that they were answered with.
  std::map<std::uint64_t, std::map<std::uint64_t, std::vector<std::uint64_t>>> written;
};

std::uint64_t next_writer() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

std::shared_ptr<Memory> memory_of(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<Memory>> memories;
  if (name.empty()) return std::make_shared<Memory>();
  const std::lock_guard lock(mutex);
  std::shared_ptr<Memory> memory = memories[name].lock();
  if (!memory) memories[name] = memory = std::make_shared<Memory>();
  return memory;
}

class MemoryStore final : public Store {
public:
  explicit MemoryStore(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
  ~MemoryStore() override {
    release();
    const std::lock_guard lock(memory_->mutex);
    memory_->written.erase(writer_);
  }

  Result<Opened> open(Access access, const Owner& owner) override {
    const std::lock_guard lock(memory_->mutex);
    const bool is_ours = memory_->owner && epoch_ == memory_->epoch;
    if (access != Access::read && memory_->owner && !is_ours) {
      return Error{.code = ErrorCode::store_owned,
                   .message = fmt::format("the store is owned by process {} on {}",
                                          memory_->owner->process, memory_->owner->host)};
    }
    memory_->sharers.erase(this);
    if (access != Access::own && is_ours) let_go();
    if (access == Access::own && !memory_->sharers.empty()) {
      const Owner& other = memory_->sharers.begin()->second;
      return Error{.code = ErrorCode::store_owned,
                   .message = fmt::format("the store is shared by process {} on {}", other.process,
                                          other.host)};
    }
    if (access == Access::own) {
      memory_->owner = owner;
      epoch_ = ++memory_->epoch;
    }
    if (access == Access::share) memory_->sharers[this] = owner;
    return Opened{.last_group = memory_->last_group,
                  .customers = memory_->customers.size(),
                  .estimates = memory_->estimates,
                  .policy = memory_->policy};
  }

  Result<void> commit(const Group& group) override {
    const std::lock_guard lock(memory_->mutex);
    const bool is_sharer = memory_->sharers.contains(this);
    if (epoch_ == 0 && !is_sharer) return not_open();
    if (epoch_ != memory_->epoch && !is_sharer) {
      return Error{.code = ErrorCode::store_fenced, .message = "another engine owns the store"};
    }
    for (const CustomerWrite& write : group.customers) put(group.number, write);
    if (group.estimates) memory_->estimates = group.estimates;
    if (group.policy) memory_->policy = group.policy;
    if (!is_sharer) memory_->last_group = group.number;
    return {};
  }

  Result<std::vector<Exchanged>> exchange(std::span<const Transaction> transactions) override {
    const std::lock_guard lock(memory_->mutex);
    if (!memory_->sharers.contains(this)) return not_open();
    if (transactions.size() > most_transactions) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("{} transactions are more than the {} of one exchange",
                                          transactions.size(), most_transactions)};
    }
    std::vector<Exchanged> all;
    for (const Transaction& transaction : transactions) all.push_back(exchange_one(transaction));
    return all;
  }

  Result<std::uint64_t> last_group() override {
    const std::lock_guard lock(memory_->mutex);
    return memory_->last_group;
  }

  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) override {
    const std::lock_guard lock(memory_->mutex);
    std::map<std::string, StoredCustomer> found;
    for (const std::string& id : ids) {
      if (const StoredCustomer* customer = find(id)) found.insert({customer->id, *customer});
    }
    std::vector<StoredCustomer> each;
    for (auto& [id, customer] : found) each.push_back(std::move(customer));
    return each;
  }

  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(StoredCustomer)>& visit) override {
    std::map<std::string, StoredCustomer> customers;
    {
      const std::lock_guard lock(memory_->mutex);
      const auto from = after ? memory_->customers.upper_bound(*after) : memory_->customers.begin();
      customers.insert(from, memory_->customers.end());
    }
    for (auto& [id, customer] : customers) {
      if (!visit(std::move(customer))) break;
    }
    return {};
  }

  Result<Status> status() override {
    const std::lock_guard lock(memory_->mutex);
    Status status;
    status.kind = "memory";
    status.owner = memory_->owner;
    status.last_group = memory_->last_group;
    status.customers = memory_->customers.size();
    for (const auto& [id, customer] : memory_->customers) {
      status.requests += customer.requests.size();
      status.bytes += customer.record.size();
    }
    return status;
  }

  Result<void> close() override {
    release();
    return {};
  }

private:
  static Error not_open() {
    return {.code = ErrorCode::store_unavailable, .message = "the store is not open to write"};
  }

  // The customer whose ID or alternate ID that is.
  const StoredCustomer* find(const std::string& id) const {
    const auto alt = memory_->alts.find(id);
    const auto customer = memory_->customers.find(alt == memory_->alts.end() ? id : alt->second);
    return customer == memory_->customers.end() ? nullptr : &customer->second;
  }

  Exchanged exchange_one(const Transaction& transaction) {
    auto& written = memory_->written[writer_];
    if (const auto before = written.find(transaction.number); before != written.end()) {
      return {.is_written = true, .versions = before->second};
    }
    Exchanged exchanged;
    for (const Part& part : transaction.parts) {
      const StoredCustomer* now = find(part.id);
      if ((now == nullptr ? 0 : now->version) == part.version &&
          (now == nullptr || now->id == part.id)) {
        continue;
      }
      exchanged.current.push_back(now == nullptr ? StoredCustomer{.id = part.id} : *now);
    }
    if (!exchanged.current.empty()) return exchanged;
    exchanged.is_written = true;
    for (const Part& part : transaction.parts) {
      std::uint64_t version = part.version;
      if (part.write) {
        version = part.write->record ? ++memory_->last_group : 0;
        put(version, *part.write);
      }
      exchanged.versions.push_back(version);
    }
    written[transaction.number] = exchanged.versions;
    if (written.size() > most_transactions) written.erase(written.begin());
    return exchanged;
  }

  void put(std::uint64_t number, const CustomerWrite& write) {
    std::erase_if(memory_->alts, [&](const auto& alt) { return alt.second == write.id; });
    if (!write.record) {
      memory_->customers.erase(write.id);
      return;
    }
    for (const std::string& alt : write.alt_ids) memory_->alts[alt] = write.id;
    StoredCustomer& customer = memory_->customers[write.id];
    customer.id = write.id;
    customer.version = number;
    customer.record = *write.record;
    std::erase_if(customer.requests, [&](const StoredRequest& request) {
      return request.number < write.first_request;
    });
    for (const StoredRequest& added : write.new_requests) {
      std::erase_if(customer.requests,
                    [&](const StoredRequest& request) { return request.number == added.number; });
      customer.requests.push_back(added);
    }
  }

  void release() {
    const std::lock_guard lock(memory_->mutex);
    let_go();
    memory_->sharers.erase(this);
  }

  void let_go() {
    if (epoch_ != 0 && epoch_ == memory_->epoch) memory_->owner.reset();
    epoch_ = 0;
  }

  const std::shared_ptr<Memory> memory_;
  const std::uint64_t writer_ = next_writer();
  std::uint64_t epoch_ = 0;  // ours, while we own it
};

}  // namespace

std::unique_ptr<Store> memory_store(const std::string& name) {
  return std::make_unique<MemoryStore>(memory_of(name));
}

}  // namespace limitr::store
