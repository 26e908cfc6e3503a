// SPDX-License-Identifier: Apache-2.0
#include "cloud/cloud_store.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <thread>
#include <utility>

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>

#include "env/boot_clock.h"

namespace limitr::cloud {
namespace {

using store::Access;
using store::Exchanged;
using store::Opened;
using store::Part;
using store::StoredCustomer;
using store::Transaction;

// As many customers as are asked for at once.
constexpr std::size_t most_at_once = 1000;
// Text may take six times as much when it is escaped, and this is around it.
constexpr std::size_t escaped = 6;
constexpr std::size_t around = 256;

Error error_of(ErrorCode code, std::string message) {
  return {.code = code, .message = std::move(message), .where = {}};
}

std::size_t most_bytes_of(const Part& part) {
  std::size_t bytes = escaped * part.id.size() + around;
  if (!part.write) return bytes;
  if (part.write->record) bytes += part.write->record->size();
  for (const std::string& alt : part.write->alt_ids) bytes += escaped * alt.size() + 3;
  for (const store::StoredRequest& request : part.write->new_requests) {
    bytes += escaped * request.id.size() + request.answer.size() + around;
  }
  return bytes;
}

// No more than this is what the transaction takes in a message.
std::size_t most_bytes_of(const Transaction& transaction) {
  std::size_t bytes = around;
  for (const Part& part : transaction.parts) bytes += most_bytes_of(part);
  return bytes;
}

const Part& largest_part(const Transaction& transaction) {
  return *std::max_element(
      transaction.parts.begin(), transaction.parts.end(),
      [](const Part& a, const Part& b) { return most_bytes_of(a) < most_bytes_of(b); });
}

// Whether the results can be those of these transactions.
bool fits(const std::vector<Exchanged>& results, std::span<const Transaction> transactions) {
  const auto is_of = [](const Exchanged& result, const Transaction& transaction) {
    return !result.is_written || result.versions.size() == transaction.parts.size();
  };
  return std::equal(results.begin(), results.end(), transactions.begin(), transactions.end(),
                    is_of);
}

class CloudStore final : public store::Store, private store::Homes {
public:
  CloudStore(std::unique_ptr<Link> link, const StoreOptions& options)
      : link_(std::move(link)), options_(options) {}
  ~CloudStore() override { link_->notices().on_recall(nullptr); }

  Result<Opened> open(Access access, const store::Owner&) override {
    if (access != Access::share) {
      return error_of(ErrorCode::invalid_argument,
                      "the customers of a Cloud server can only be shared");
    }
    if (!link_->is_connected()) return link_->unconnected();
    Opened opened;
    if (std::exchange(was_opened_, true)) return opened;
    auto estimates = link_->ask_for<wire::Estimates>(wire::Estimates{}, options_.timeout);
    if (!estimates.ok()) return nothing_changed(std::move(estimates).error());
    opened.estimates = std::move(estimates->text);
    return opened;
  }

  // The policy is the server's, whatever the group says.
  Result<void> commit(const store::Group& group) override {
    if (!group.customers.empty()) {
      return error_of(ErrorCode::invalid_argument,
                      "the customers of a Cloud server are changed by exchanges");
    }
    if (!group.estimates) return {};
    auto done = link_->ask_for<wire::Estimates>(wire::Estimates{group.estimates}, options_.timeout);
    if (!done.ok()) return std::move(done).error();
    return {};
  }

  Result<std::vector<Exchanged>> exchange(std::span<const Transaction> transactions) override {
    if (transactions.empty()) return std::vector<Exchanged>();
    if (transactions.size() > store::most_transactions) {
      return error_of(
          ErrorCode::invalid_argument,
          fmt::format("one exchange has {} transactions at most", store::most_transactions));
    }
    return send(transactions);
  }

  std::optional<Error> refusal(const Transaction& transaction) const override {
    const std::size_t most = link_->max_message();
    if (most_bytes_of(transaction) <= most) return std::nullopt;
    constexpr std::uint64_t longest = std::numeric_limits<std::uint64_t>::max();
    const std::size_t bytes = wire::encode_exchange(longest, {&transaction, 1}).size();
    if (bytes <= most) return std::nullopt;
    return error_of(ErrorCode::invalid_argument,
                    fmt::format("with the customer `{}`, the change takes {} bytes, and the server "
                                "takes {} at most",
                                largest_part(transaction).id, bytes, most));
  }

  store::Homes* homes() override { return this; }

  Result<std::uint64_t> last_group() override { return std::uint64_t{0}; }

  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) override {
    std::vector<StoredCustomer> customers;
    absl::flat_hash_set<std::string> known;
    const bool is_one_message = count_that_fits(ids) == ids.size();
    while (!ids.empty()) {
      const std::size_t count = count_that_fits(ids);
      auto rows = link_->ask_for<wire::Rows>(
          wire::Read{{ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count)}},
          options_.timeout);
      if (!rows.ok()) return nothing_changed(std::move(rows).error());
      for (StoredCustomer& row : rows->rows) {
        if (is_one_message || known.insert(row.id).second) customers.push_back(std::move(row));
      }
      ids = ids.subspan(count);
    }
    return customers;
  }

  // In several messages: not all of one moment, but each customer as it was at some.
  Result<void> scan_after(const std::optional<std::string>& first,
                          const std::function<bool(StoredCustomer)>& visit) override {
    std::string after = first.value_or("");
    for (;;) {
      auto rows = link_->ask_for<wire::Rows>(
          wire::Scan{.after = after, .limit = static_cast<std::uint32_t>(most_at_once)},
          options_.timeout);
      if (!rows.ok()) return nothing_changed(std::move(rows).error());
      for (StoredCustomer& row : rows->rows) {
        after = row.id;
        if (!visit(std::move(row))) return {};
      }
      if (!rows->more || rows->rows.empty()) return {};
    }
  }

  Result<store::Status> status() override {
    if (!link_->is_connected()) return link_->unconnected();
    return store::Status{.kind = "cloud", .owner = {}, .software = link_->server(), .weaker = {}};
  }

  Result<void> close() override {
    // The engine may go from here on.
    link_->notices().on_recall(nullptr);
    if (!link_->is_connected()) {
      Error why = link_->unconnected();
      (void)link_->close(options_.timeout);
      return why;
    }
    return link_->close(options_.timeout);
  }

private:
  // Homes.

  std::string_view engine() const override { return link_->engine(); }
  bool is_leased() const override { return link_->is_leased(); }
  bool is_connected() const override { return link_->is_connected(); }
  Millis running_time() const override {
    const auto time = env::BootClock::now().time_since_epoch();
    return std::chrono::duration_cast<Millis>(time);
  }
  void pause(Millis time) override { std::this_thread::sleep_for(time); }
  double room_share() const override { return options_.room_share; }
  bool denies_unconnected() const override { return options_.denies_unconnected; }
  std::string local_file() const override { return options_.local_file; }
  Result<std::vector<std::string>> recall(std::span<const store::Home> homes) override {
    std::map<std::string_view, std::vector<std::string>> by_engine;
    for (const store::Home& home : homes) by_engine[home.engine].push_back(home.customer);
    wire::RecallHomes recall;
    for (auto& [engine, ids] : by_engine) {
      recall.homes.push_back({.engine = std::string(engine), .ids = std::move(ids)});
    }
    auto recalled = link_->ask_for<wire::Recalled>(std::move(recall), options_.timeout);
    if (!recalled.ok()) return nothing_changed(std::move(recalled).error());
    return std::move(recalled->lost);
  }
  std::vector<StoredCustomer> take_changed() override { return link_->take_changed(); }
  void on_recall(std::function<void(std::vector<std::string>)> handler) override {
    link_->notices().on_recall(std::move(handler));
  }

  // What is asked without changing anything may be asked again.
  Error nothing_changed(Error error) const {
    if (error.code == ErrorCode::outcome_unknown) error.code = ErrorCode::unconnected;
    return error;
  }

  std::size_t count_that_fits(std::span<const std::string> ids) const {
    const std::size_t most = link_->max_message();
    std::size_t bytes = around;
    std::size_t count = 0;
    while (count < std::min(ids.size(), most_at_once)) {
      bytes += escaped * ids[count].size() + 3;
      if (bytes > most && count != 0) break;
      ++count;
    }
    return count;
  }

  // In one message if they fit, else in as many as it takes.
  Result<std::vector<Exchanged>> send(std::span<const Transaction> transactions) {
    const std::uint64_t n = link_->next_number();
    std::string text = wire::encode_exchange(n, transactions);
    if (text.size() > link_->max_message()) return send_in_halves(transactions);
    auto reply = link_->ask(n, std::move(text), options_.timeout);
    Result<wire::Exchangeds> exchanged = Link::only<wire::Exchangeds>(std::move(reply));
    if (!exchanged.ok()) return std::move(exchanged).error();
    if (!fits(exchanged->results, transactions)) {
      return error_of(ErrorCode::outcome_unknown,
                      "the server answered an exchange with results that cannot be its own");
    }
    return std::move(exchanged->results);
  }

  Result<std::vector<Exchanged>> send_in_halves(std::span<const Transaction> transactions) {
    for (const Transaction& transaction : transactions) {
      if (auto refused = refusal(transaction)) return *std::move(refused);
    }
    if (transactions.size() == 1) return link_->unconnected();  // Another server has taken over.
    const std::size_t half = transactions.size() / 2;
    Result<std::vector<Exchanged>> results = send(transactions.first(half));
    if (!results.ok()) return results;
    Result<std::vector<Exchanged>> rest = send(transactions.subspan(half));
    if (!rest.ok()) return error_of(ErrorCode::outcome_unknown, rest.error().message);
    std::move(rest->begin(), rest->end(), std::back_inserter(*results));
    return results;
  }

  const std::unique_ptr<Link> link_;
  const StoreOptions options_;
  bool was_opened_ = false;
};

}  // namespace

std::unique_ptr<store::Store> cloud_store(std::unique_ptr<Link> link, const StoreOptions& options) {
  return std::make_unique<CloudStore>(std::move(link), options);
}

}  // namespace limitr::cloud
