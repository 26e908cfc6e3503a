// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/result.h>
#include "server/hub.h"
#include "server/recent_rows.h"
#include "store/store.h"

// The rows of one project, over any store: docs/protocol.md, The idea.
//
// INVARIANTS
// 1. Nobody is told of a version before it is safe in the store.
// 2. Where we own the store, versions are the numbers of its groups: a group writes a customer once
//    at most, so no two versions of one are the same, whatever becomes of them.
// 3. After a failure nothing is built on what was read before it: the store is opened anew first,
//    and what is kept of recent rows is forgotten.
namespace limitr::server {

/// What was written since the rows were opened.
struct RowCounts {
  std::uint64_t commits = 0;
  std::uint64_t transactions = 0;  ///< That were written, or only asked and found all as it was.
  std::uint64_t conflicts = 0;
  std::uint64_t customers = 0;  ///< Written or removed, each time.
};

struct RowPage {
  std::vector<store::StoredCustomer> rows;
  bool has_more = false;
};

/// What a server opens the store of that URL for: share, where other servers may use it at the same
/// time.
store::Access access_to(std::string_view store_url);

/// Threads: one at a time.
class Rows {
public:
  /// `access`: share, where the store can be shared; own, where it cannot.
  Rows(std::unique_ptr<store::Store> store, store::Access access, store::Owner owner);
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  /// Called first. Errors: those of Store::open().
  Result<void> open();
  /// Those that are there, by ID or alternate ID. Errors: store_unavailable, data_corrupt.
  Result<std::vector<store::StoredCustomer>> read(std::span<const std::string> ids);
  /// The first customers after that ID, in the order of their IDs: `limit` at most, and no more
  /// than about `max_page_bytes`, but one where there is one. Errors: as read().
  Result<RowPage> scan(const std::string& after, std::size_t limit);
  /// What Store::exchange() promises, for transactions of any number of engines; their numbers say
  /// nothing here. A transaction that was not written for want of the store, or that no store can
  /// take, has its failure. `from`: whose they are, one for each; empty: nobody's. Errors:
  /// outcome_unknown: any of them was written or not.
  Result<std::vector<store::Exchanged>> exchange(std::vector<store::Transaction> transactions,
                                                 std::span<const SessionId> from = {});
  /// As RecentRows::take_changed().
  std::vector<ChangedFor> take_changed() { return recent_.take_changed(); }
  /// The statistics over all customers, as they were written last. Errors: store_unavailable.
  Result<std::optional<std::string>> estimates();
  /// Errors: store_unavailable: not written; outcome_unknown.
  Result<void> put_estimates(const std::string& text);
  /// Tells a shared store that we are alive; wanted every renew_every(), 0: never.
  Result<void> renew();
  Millis renew_every() const { return renew_every_; }
  Result<store::Status> status() { return store_->status(); }
  Result<void> close();

  /// Whether somebody else has taken the store over: nothing will succeed any more.
  bool is_taken_over() const { return is_taken_over_; }
  const RowCounts& counts() const { return counts_; }

  static constexpr std::size_t max_page_bytes = 512 << 10U;

private:
  class Batch;

  Result<void> be_open();
  void note(const Error& error);
  Result<void> commit(const store::Group& group);
  Result<std::vector<store::Exchanged>> exchange_shared(
      std::vector<store::Transaction>& transactions);
  Result<std::vector<store::Exchanged>> exchange_owned(
      std::vector<store::Transaction>& transactions);
  Result<std::vector<store::Exchanged>> exchange_with_others(
      std::vector<store::Transaction>& transactions);
  std::optional<store::Exchanged> known_conflict(const store::Transaction& transaction);
  void note_recent(const store::Transaction& transaction, const store::Exchanged& exchanged);
  void count(const store::Transaction& transaction, const store::Exchanged& exchanged,
             SessionId from);

  const std::unique_ptr<store::Store> store_;
  const store::Access access_;
  const store::Owner owner_;
  bool is_open_ = false;  // and nothing has failed since
  bool is_taken_over_ = false;
  std::uint64_t number_ = 0;  // of the last group, where we own; of the last transaction, else
  std::optional<std::string> estimates_;
  Millis renew_every_{0};
  RecentRows recent_;  // decided by where we own the store; else others may have written since
  RowCounts counts_;
};

}  // namespace limitr::server
