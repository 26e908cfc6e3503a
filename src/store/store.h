// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/result.h>
#include <limitr/time.h>
#include "store/homes.h"

// The port between an engine and where its state is kept. A store keeps texts and knows nothing of
// what is in them; the engine knows this header and no store.
//
// INVARIANTS that every store keeps, and the contract suite holds it to:
// 1. A group is written wholly or not at all, also over a crash at any moment.
// 2. When commit() returns success, the group outlives the process and, as far as the store's own
//    durability goes, the machine.
// 3. Groups carry the epoch of the owner they come from; what comes from an earlier owner is
// refused.
// 4. A record that is not what was written is never given out: it is named as damaged.
namespace limitr::store {

/// An answer that is remembered for a customer's request. Numbered in the order in which they came.
struct StoredRequest {
  std::uint64_t number = 0;
  std::string id;
  std::uint64_t fingerprint = 0;
  std::string answer;
  Timestamp at;
  friend bool operator==(const StoredRequest&, const StoredRequest&) = default;
};

/// What is kept of one customer.
struct StoredCustomer {
  std::string id;
  std::uint64_t version = 0;                 ///< The number of the group that wrote it last.
  std::string record = {};                   ///< Its portable JSON. Empty where it is damaged.
  std::vector<StoredRequest> requests = {};  ///< By number.
  /// data_corrupt: what is wrong with it, and where it is kept. With a record, that one is good and
  /// a request is damaged, and left out.
  std::optional<Error> damage = {};
};

/// One customer's part of a group.
struct CustomerWrite {
  std::string id;
  std::optional<std::string>
      record;  ///< None: the customer is removed, with all that is kept of it.
  std::vector<std::string> alt_ids;  ///< All that lead to the customer from now on.
  /// Added to those that are there; one of the same number is replaced.
  std::vector<StoredRequest> new_requests;
  std::uint64_t first_request = 0;  ///< Those with a smaller number are forgotten.
};

/// What is written as one.
struct Group {
  std::uint64_t number = 0;  ///< Above that of every group before, over all owners.
  std::vector<CustomerWrite> customers;
  std::optional<std::string> estimates;  ///< The statistics over all customers, as JSON.
  std::optional<std::string> policy;     ///< The policy document, as JSON.

  bool empty() const { return customers.empty() && !estimates && !policy; }
};

/// Who writes to the store.
struct Owner {
  std::string host;
  std::int64_t process = 0;
  Timestamp since;
};

enum class Access : std::uint8_t {
  own,    ///< To read and write, as the only one.
  share,  ///< To read and exchange(), together with others that share.
  read,   ///< To read what others, if there are any, have written so far.
};

/// One customer of a transaction, as it was when the transaction was decided.
struct Part {
  std::string id;             ///< Its own ID; where there is none, the ID that nobody has.
  std::uint64_t version = 0;  ///< 0: nobody has the ID, nor is it an alternate one.
  std::optional<CustomerWrite> write = {};  ///< None: it stays, but must still be what it was.
};

/// How many transactions there may be in one exchange().
inline constexpr std::size_t most_transactions = 4'096;

/// What is written as one, if all its parts are still what they were.
struct Transaction {
  std::uint64_t number = 0;  ///< Above those of every transaction of this store object before.
  std::vector<Part> parts;
};

/// What became of a transaction.
struct Exchanged {
  bool is_written = false;
  /// Of a written one: the new version of each part, in their order; 0: removed, or not there.
  std::vector<std::uint64_t> versions = {};
  /// Of one that was not: each part that is not what it was, as it is now; with version 0 and an
  /// empty record where nobody has its ID. A part whose ID leads to a customer of another one is
  /// given as that customer.
  std::vector<StoredCustomer> current = {};
  /// Of one that could not be tried, as what it needs is away while the rest of the store goes on:
  /// store_unavailable. It was not written.
  std::optional<Error> failure = {};
};

/// What a store says of itself when it is opened.
struct Opened {
  std::uint64_t last_group = 0;  ///< The number of the last group written; 0: none ever was.
  std::uint64_t customers = 0;
  std::optional<std::string> estimates;
  std::optional<std::string> policy;
  std::vector<Error> damage = {};  ///< data_corrupt: texts that are not what was written.
  /// What it is set to keep less of than was asked for, where that was accepted.
  std::optional<std::string> weaker = {};
  /// How often renew() is wanted; 0: never.
  Millis renew_every{0};
};

/// What `limitr store` shows.
struct Status {
  std::string kind;            ///< sqlite, file, ...
  std::optional<Owner> owner;  ///< Who owns it now.
  std::uint64_t last_group = 0;
  std::uint64_t customers = 0;
  std::uint64_t requests = 0;
  std::uint64_t bytes = 0;   ///< What it takes in the file system or the server, as far as known.
  std::uint32_t schema = 0;  ///< The version of its tables or files.
  std::string software;      ///< The version of what stands behind it.
  std::optional<std::string> weaker;  ///< As in Opened.
};

/// Errors of every function that returns a Result: store_unavailable: nothing of the call was
/// written, and it may succeed later; store_fenced: another owner has taken over; data_corrupt:
/// what was found is not what was written. Threads: commit(), exchange(), renew(), last_group() and
/// reopening by one thread at a time; read() and scan() by any, also while a group is being
/// written.
class Store {
public:
  virtual ~Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Opens, makes what is missing, and becomes the owner where that is asked for. May be called
  /// again after a failure: then everything is closed first, and nothing of what only memory or a
  /// cache holds is trusted. Errors also: store_owned, naming the owner that is alive, or one of
  /// those who share where it is to be owned; store_weaker, where what was asked for is more than
  /// the store is set to keep; invalid_argument, where it is no such store, or cannot be shared.
  virtual Result<Opened> open(Access access, const Owner& owner) = 0;
  /// Writes a group. Errors also: outcome_unknown: it was written or not, last_group() of the
  /// reopened store tells. Where the store is shared, a group has no customers: the last one who
  /// writes a text is right.
  virtual Result<void> commit(const Group& group) = 0;
  /// Where the store is shared: writes those transactions whose parts are all what they were, each
  /// wholly or not at all, one after the other; all in as few round trips as there can be. Every
  /// customer that is written gets a version above its last, and one that is made never gets one
  /// that another of its ID had before. Errors also: outcome_unknown: any of them was written or
  /// not. The same transactions, given again after reopening, tell: one whose number was written
  /// already is answered so, and not written again, whatever others have written since. That is
  /// known of as many of the last numbers as there may be transactions in one exchange; with more
  /// than those it is invalid_argument.
  virtual Result<std::vector<Exchanged>> exchange(std::span<const Transaction> transactions);
  /// Why a transaction can never be written here, whatever is in the store: invalid_argument. An
  /// exchange() with one of those in it is refused as a whole with the same error, and nothing is
  /// written. Threads: any.
  virtual std::optional<Error> refusal(const Transaction&) const { return std::nullopt; }
  /// Null: each change is confirmed by exchange().
  virtual Homes* homes() { return nullptr; }
  /// Tells the store that its owner, or sharer, is alive. Errors also: store_fenced.
  virtual Result<void> renew() { return {}; }
  /// For those who own the store: whether commit(), renew() or open() found, since this was last
  /// asked, that some of what this object has committed is there no more, though the last group may
  /// be, as after a failover of a part of the store. Threads: as commit().
  virtual bool has_lost() { return false; }
  /// Puts what is kept beside its main file into that, which can be copied by itself then; for
  /// those who own the store. Errors: store_unavailable, where that cannot be: what was committed
  /// is as safe as before; store_fenced.
  virtual Result<void> fold() { return {}; }
  /// The number of the last group written, by any owner.
  virtual Result<std::uint64_t> last_group() = 0;
  /// The customers of these IDs or alternate IDs, in any order, each once, those that are
  /// not there left out.
  virtual Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) = 0;
  /// Every customer, in the order of their IDs, as of one moment, until `visit` returns false.
  Result<void> scan(const std::function<bool(StoredCustomer)>& visit) {
    return scan_after(std::nullopt, visit);
  }
  /// The same of those whose ID comes after that one, without going through the others where the
  /// store has them in order. Only a scan of all of them tells that some are missing.
  virtual Result<void> scan_after(const std::optional<std::string>& after,
                                  const std::function<bool(StoredCustomer)>& visit) = 0;
  virtual Result<Status> status() = 0;
  /// Lets go of ownership and closes. What was committed stays.
  virtual Result<void> close() = 0;

protected:
  Store() = default;
};

inline Result<std::vector<Exchanged>> Store::exchange(std::span<const Transaction>) {
  return Error{.code = ErrorCode::invalid_argument,
               .message = "this kind of store cannot be shared",
               .where = {}};
}

}  // namespace limitr::store
