// SPDX-License-Identifier: Apache-2.0
#include "server/rows.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>

#include "wire/messages.h"

namespace limitr::server {
namespace {

using store::Access;
using store::CustomerWrite;
using store::Exchanged;
using store::Group;
using store::Part;
using store::StoredCustomer;
using store::StoredRequest;
using store::Transaction;

Error unavailable(const Error& why) {
  return {.code = ErrorCode::store_unavailable, .message = why.message, .where = why.where};
}

Exchanged failed(Error error) {
  Exchanged exchanged;
  exchanged.failure = std::move(error);
  return exchanged;
}

/// Why a transaction is none, whatever the store.
std::optional<Error> malformed(const Transaction& transaction) {
  absl::flat_hash_set<std::string_view> ids;
  for (const Part& part : transaction.parts) {
    if (!ids.insert(part.id).second) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("a transaction names the customer `{}` twice", part.id)};
    }
    if (part.write && part.write->id != part.id) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("a part of `{}` writes `{}`", part.id, part.write->id)};
    }
  }
  return std::nullopt;
}

/// The customer as a write leaves it. `before`: null where it is new.
RecentRows::Row written(const StoredCustomer* before, const CustomerWrite& write,
                        std::uint64_t version) {
  auto row = std::make_shared<StoredCustomer>();
  row->id = write.id;
  row->version = version;
  row->record = *write.record;
  auto& requests = row->requests;
  if (before != nullptr) requests = before->requests;
  std::erase_if(requests,
                [&](const StoredRequest& one) { return one.number < write.first_request; });
  for (const StoredRequest& added : write.new_requests) {
    std::erase_if(requests, [&](const StoredRequest& one) { return one.number == added.number; });
    requests.push_back(added);
  }
  std::ranges::sort(requests, {}, &StoredRequest::number);
  return row;
}

}  // namespace

/// The rows that some transactions name: as the store has them, then as the group that is being
/// made leaves them.
class Rows::Batch {
public:
  enum class Verdict : std::uint8_t {
    decided,     ///< Written with the group, or refused.
    next_group,  ///< It goes on from what this group writes: a version is needed in between.
  };

  /// Every row that is named: what is not a recent one is read.
  static Result<Batch> of(store::Store& store, std::span<const Transaction> transactions,
                          RecentRows& recent) {
    absl::flat_hash_set<std::string> ids;
    Batch batch;
    for (const Transaction& transaction : transactions) {
      for (const Part& part : transaction.parts) {
        if (batch.rows_.contains(part.id) || ids.contains(part.id)) continue;
        if (RecentRows::Row row = recent.find(part.id)) {
          batch.rows_.emplace(part.id, std::move(row));
        } else {
          ids.insert(part.id);
        }
      }
    }
    if (ids.empty()) return batch;
    auto read = store.read(std::vector<std::string>(ids.begin(), ids.end()));
    if (!read.ok()) return std::move(read).error();
    batch.add(*std::move(read));
    std::vector<std::string> others;
    for (const std::string& id : ids) {
      if (!batch.rows_.contains(id)) others.push_back(id);
    }
    if (auto found = batch.find_alternates(store, others); !found.ok()) {
      return std::move(found).error();
    }
    return batch;
  }

  void begin(Group& group) {
    group_ = &group;
    dirty_.clear();
  }

  /// Adds the transaction to the group, which takes its records; or says why not in `exchanged`.
  Verdict decide(Transaction& transaction, Exchanged& exchanged) {
    bool is_dirty = false;
    for (const Part& part : transaction.parts) {
      const StoredCustomer* now = find(part.id);
      is_dirty = is_dirty || dirty_.contains(part.id);
      if ((now == nullptr ? 0 : now->version) == part.version &&
          (now == nullptr || now->id == part.id)) {
        continue;
      }
      exchanged.current.push_back(now == nullptr ? StoredCustomer{.id = part.id} : *now);
    }
    if (!exchanged.current.empty()) return Verdict::decided;
    if (is_dirty) return Verdict::next_group;
    exchanged.is_written = true;
    for (Part& part : transaction.parts) {
      exchanged.versions.push_back(part.write ? put(*part.write) : part.version);
    }
    return Verdict::decided;
  }

  /// The store has what the groups have made of them.
  void keep_in(RecentRows& recent) const {
    for (const std::string& id : removed_) recent.erase(id);
    for (const auto& [id, row] : rows_) {
      if (!row->damage) recent.put(row);
    }
  }

private:
  /// A store says who is found, and not by which ID: that is asked where it is in question, which
  /// is only where somebody names an alternate ID, or one that is such by now.
  Result<void> find_alternates(store::Store& store, const std::vector<std::string>& ids) {
    if (ids.empty()) return {};
    auto any = store.read(ids);
    if (!any.ok()) return std::move(any).error();
    if (any->empty()) return {};
    for (const std::string& id : ids) {
      auto one = store.read({&id, 1});
      if (!one.ok()) return std::move(one).error();
      for (const StoredCustomer& customer : *one) alts_[id] = customer.id;
      add(*std::move(one));
    }
    return {};
  }

  void add(std::vector<StoredCustomer> found) {
    for (StoredCustomer& customer : found) {
      std::string id = customer.id;
      rows_.insert_or_assign(std::move(id),
                             std::make_shared<const StoredCustomer>(std::move(customer)));
    }
  }

  const StoredCustomer* find(const std::string& id) const {
    const auto alt = alts_.find(id);
    const auto row = rows_.find(alt == alts_.end() ? id : alt->second);
    return row == rows_.end() ? nullptr : row->second.get();
  }

  /// Gives the version that the customer has then. Of the write, its ID and whether there is a
  /// record stay what they are.
  std::uint64_t put(CustomerWrite& write) {
    dirty_.insert(write.id);
    absl::erase_if(alts_, [&](const auto& alt) { return alt.second == write.id; });
    if (!write.record) {
      rows_.erase(write.id);
      removed_.insert(write.id);
      group_->customers.push_back(write);
      return 0;
    }
    removed_.erase(write.id);
    for (const std::string& alt : write.alt_ids) alts_[alt] = write.id;
    RecentRows::Row& row = rows_[write.id];
    row = written(row.get(), write, group_->number);
    group_->customers.push_back({.id = write.id,
                                 .record = std::move(write.record),
                                 .alt_ids = std::move(write.alt_ids),
                                 .new_requests = std::move(write.new_requests),
                                 .first_request = write.first_request});
    return group_->number;
  }

  absl::flat_hash_map<std::string, RecentRows::Row> rows_;  // by their own IDs
  absl::flat_hash_map<std::string, std::string> alts_;
  absl::flat_hash_set<std::string> dirty_;    // those that the group writes
  absl::flat_hash_set<std::string> removed_;  // by any of the groups
  Group* group_ = nullptr;
};

Access access_to(std::string_view store_url) {
  const bool is_shared = store_url.starts_with("postgres:") || store_url.starts_with("postgresql:");
  return is_shared ? Access::share : Access::own;
}

Rows::Rows(std::unique_ptr<store::Store> store, Access access, store::Owner owner)
    : store_(std::move(store)), access_(access), owner_(std::move(owner)) {}

Result<void> Rows::open() {
  auto opened = store_->open(access_, owner_);
  if (!opened.ok()) return std::move(opened).error();
  is_open_ = true;
  recent_.clear();
  // Where the store is shared our own count goes on: the store knows our last numbers.
  if (access_ == Access::own) number_ = opened->last_group;
  estimates_ = std::move(opened->estimates);
  renew_every_ = opened->renew_every;
  return {};
}

Result<void> Rows::be_open() {
  if (is_open_) return {};
  auto opened = open();
  if (opened.ok()) return opened;
  // A store that is shared may have an owner for a while.
  is_taken_over_ = is_taken_over_ ||
                   (access_ == Access::own && (opened.error().code == ErrorCode::store_owned ||
                                               opened.error().code == ErrorCode::store_fenced));
  return unavailable(opened.error());
}

void Rows::note(const Error& error) {
  is_open_ = false;
  if (access_ == Access::own && error.code == ErrorCode::store_fenced) is_taken_over_ = true;
}

Result<std::vector<StoredCustomer>> Rows::read(std::span<const std::string> ids) {
  if (auto open = be_open(); !open.ok()) return std::move(open).error();
  auto found = store_->read(ids);
  if (!found.ok()) note(found.error());
  return found;
}

Result<RowPage> Rows::scan(const std::string& after, std::size_t limit) {
  if (auto open = be_open(); !open.ok()) return std::move(open).error();
  RowPage page;
  std::size_t bytes = 0;
  const auto scanned = store_->scan_after(after, [&](StoredCustomer customer) {
    bytes += wire::size_of(customer);
    page.has_more = page.rows.size() >= limit || (bytes > max_page_bytes && !page.rows.empty());
    if (!page.has_more) page.rows.push_back(std::move(customer));
    return !page.has_more;
  });
  if (scanned.ok()) return page;
  note(scanned.error());
  return scanned.error();
}

Result<std::optional<std::string>> Rows::estimates() {
  if (auto open = be_open(); !open.ok()) return std::move(open).error();
  return estimates_;
}

Result<void> Rows::put_estimates(const std::string& text) {
  if (auto open = be_open(); !open.ok()) return open;
  Group group;
  group.number = number_ + 1;
  group.estimates = text;
  auto committed = commit(group);
  if (committed.ok()) estimates_ = text;
  return committed;
}

Result<void> Rows::renew() {
  if (auto open = be_open(); !open.ok()) return open;
  auto renewed = store_->renew();
  if (!renewed.ok()) note(renewed.error());
  return renewed;
}

Result<void> Rows::close() {
  is_open_ = false;
  return store_->close();
}

Result<std::vector<Exchanged>> Rows::exchange(std::vector<Transaction> transactions,
                                              std::span<const SessionId> from) {
  std::vector<Exchanged> answers(transactions.size());
  std::vector<std::size_t> places;  // of those that are tried
  std::vector<Transaction> tried;
  for (std::size_t i = 0; i < transactions.size(); ++i) {
    std::optional<Error> wrong = malformed(transactions[i]);
    if (!wrong) wrong = store_->refusal(transactions[i]);
    if (wrong) {
      answers[i].failure = std::move(wrong);
      continue;
    }
    places.push_back(i);
    tried.push_back(std::move(transactions[i]));
  }
  if (tried.empty()) return answers;
  if (auto open = be_open(); !open.ok()) {
    for (const std::size_t place : places) answers[place] = failed(open.error());
    return answers;
  }
  auto exchanged = access_ == Access::own ? exchange_owned(tried) : exchange_shared(tried);
  if (!exchanged.ok()) return exchanged;
  for (std::size_t i = 0; i < places.size(); ++i) {
    Exchanged& answer = answers[places[i]] = std::move((*exchanged)[i]);
    count(tried[i], answer, from.empty() ? SessionId{0} : from[places[i]]);
  }
  return answers;
}

void Rows::count(const Transaction& transaction, const Exchanged& exchanged, SessionId from) {
  if (exchanged.failure) return;
  if (!exchanged.is_written) {
    ++counts_.conflicts;
    for (const StoredCustomer& row : exchanged.current) recent_.told(from, row.id);
    return;
  }
  ++counts_.transactions;
  for (const Part& part : transaction.parts) {
    if (!part.write) continue;
    ++counts_.customers;
    recent_.wrote(from, part.id);
  }
}

// What a transaction of one customer gets whose row others have replaced since, for certain; none
// where the store is to be asked. What is given may be old itself by then: that costs another turn.
std::optional<Exchanged> Rows::known_conflict(const Transaction& transaction) {
  if (transaction.parts.size() != 1) return std::nullopt;
  const Part& part = transaction.parts.front();
  if (part.version == 0) return std::nullopt;  // One before it may remove who is there.
  const RecentRows::Row known = recent_.find(part.id);
  if (known == nullptr || known->version <= part.version) return std::nullopt;
  return Exchanged{.current = {*known}};
}

// Errors: as exchange(). What is known to be refused does not wait for the store.
Result<std::vector<Exchanged>> Rows::exchange_shared(std::vector<Transaction>& transactions) {
  std::vector<Exchanged> answers(transactions.size());
  std::vector<std::size_t> places;  // of those that the store is asked
  std::vector<Transaction> asked;
  for (std::size_t i = 0; i < transactions.size(); ++i) {
    if (auto conflict = known_conflict(transactions[i])) {
      answers[i] = *std::move(conflict);
      continue;
    }
    places.push_back(i);
    asked.push_back(std::move(transactions[i]));
  }
  auto exchanged = exchange_with_others(asked);
  if (!exchanged.ok()) return exchanged;
  for (std::size_t i = 0; i < places.size(); ++i) {
    answers[places[i]] = std::move((*exchanged)[i]);
    transactions[places[i]] = std::move(asked[i]);
  }
  return answers;
}

Result<std::vector<Exchanged>> Rows::exchange_with_others(std::vector<Transaction>& transactions) {
  std::vector<Exchanged> answers;
  for (Transaction& transaction : transactions) transaction.number = ++number_;
  std::optional<Error> failure;
  for (std::size_t at = 0; at < transactions.size(); at += store::most_transactions) {
    const std::span<const Transaction> some =
        std::span(transactions)
            .subspan(at, std::min(store::most_transactions, transactions.size() - at));
    if (failure) {
      answers.resize(answers.size() + some.size(), failed(*failure));
      continue;
    }
    auto exchanged = store_->exchange(some);
    if (!exchanged.ok() && exchanged.error().code == ErrorCode::outcome_unknown) {
      is_open_ = false;
      // The same again: the store knows those that it has taken.
      if (auto open = be_open(); !open.ok()) return std::move(exchanged).error();
      const Error unknown = exchanged.error();
      exchanged = store_->exchange(some);
      if (!exchanged.ok()) {
        is_open_ = false;
        return unknown;
      }
    }
    if (!exchanged.ok()) {
      note(exchanged.error());
      failure = unavailable(exchanged.error());
      answers.resize(answers.size() + some.size(), failed(*failure));
      continue;
    }
    ++counts_.commits;
    std::ranges::move(*exchanged, std::back_inserter(answers));
  }
  for (std::size_t i = 0; i < answers.size(); ++i) note_recent(transactions[i], answers[i]);
  return answers;
}

// Others write to the store too: a row is known where it replaced one that was.
void Rows::note_recent(const Transaction& transaction, const Exchanged& exchanged) {
  for (const StoredCustomer& row : exchanged.current) {
    if (row.version == 0 || row.damage) {
      recent_.erase(row.id);
    } else {
      recent_.put(std::make_shared<const StoredCustomer>(row));
    }
  }
  if (!exchanged.is_written) return;
  for (std::size_t i = 0; i < transaction.parts.size(); ++i) {
    const Part& part = transaction.parts[i];
    if (!part.write) continue;
    const RecentRows::Row before = recent_.find(part.id);
    const bool is_known = part.version == (before == nullptr ? 0 : before->version);
    if (is_known && part.write->record) {
      recent_.put(written(before.get(), *part.write, exchanged.versions[i]));
    } else {
      recent_.erase(part.id);
    }
  }
}

// All that wait are one group, but for those that go on from what others of them write.
Result<std::vector<Exchanged>> Rows::exchange_owned(std::vector<Transaction>& transactions) {
  std::vector<Exchanged> answers(transactions.size());
  auto batch = Batch::of(*store_, transactions, recent_);
  if (!batch.ok()) {
    note(batch.error());
    std::ranges::fill(answers, failed(unavailable(batch.error())));
    return answers;
  }
  std::vector<std::size_t> waiting(transactions.size());
  for (std::size_t i = 0; i < waiting.size(); ++i) waiting[i] = i;
  while (!waiting.empty()) {
    Group group;
    group.number = number_ + 1;
    batch->begin(group);
    std::vector<std::size_t> decided;
    std::vector<std::size_t> later;
    for (const std::size_t i : waiting) {
      const auto verdict = batch->decide(transactions[i], answers[i]);
      (verdict == Batch::Verdict::decided ? decided : later).push_back(i);
    }
    if (auto committed = commit(group); !committed.ok()) {
      if (committed.error().code == ErrorCode::outcome_unknown) return committed.error();
      // Also those that were refused: it may have been for what the group would have written.
      for (const std::size_t i : waiting) answers[i] = failed(unavailable(committed.error()));
      return answers;
    }
    waiting = std::move(later);
  }
  batch->keep_in(recent_);
  return answers;
}

// Errors: store_unavailable, store_fenced: not written; outcome_unknown.
Result<void> Rows::commit(const Group& group) {
  if (group.empty()) return {};
  auto committed = store_->commit(group);
  if (!committed.ok()) {
    const Error& why = committed.error();
    note(why);
    if (why.code != ErrorCode::outcome_unknown) return why;
    // A shared store numbers nothing of ours, and only texts are written to it here.
    if (access_ != Access::own) return why;
    if (!be_open().ok()) return why;
    if (number_ < group.number) return unavailable(why);
  }
  if (access_ == Access::own) number_ = group.number;
  ++counts_.commits;
  return {};
}

}  // namespace limitr::server
