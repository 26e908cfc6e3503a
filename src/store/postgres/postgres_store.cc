// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/postgres_store.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "store/postgres/reader.h"
#include "store/postgres/rows.h"
#include "store/postgres/schema.h"
#include "store/postgres/writer.h"

// INVARIANTS:
// 1. Whoever owns or shares says so in a row that carries the store object's own number, from
//    before it writes until after. A lease that has run out lets others in; only what they do then
//    ends the right to write.
// 2. The writer has never failed. With its first error it is gone, and open() makes another.
// 3. Who takes both mutexes takes the writer's first.
namespace limitr::store {
namespace {

using postgres::Address;
using postgres::Connection;
using postgres::Overview;
using postgres::Timeouts;
using postgres::Writer;

std::int64_t random_token() {
  std::random_device device;
  const std::uint64_t bits = (std::uint64_t{device()} << 32U) | device();
  return static_cast<std::int64_t>(bits >> 2U) + 1;
}

class PostgresStore final : public Store {
public:
  explicit PostgresStore(PostgresOptions options)
      : options_(std::move(options)), token_(random_token()) {}

  ~PostgresStore() override { [[maybe_unused]] const auto released = shut(); }

  Result<Opened> open(Access access, const Owner& owner) override {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(reader_mutex_);
    // Ownership outlives reopening: nobody takes over while the owner comes back from a failure.
    if (writer_ && access == Access::read) [[maybe_unused]]
      const auto left = writer_->release();
    drop_writer();
    reader_.reset();
    is_open_ = false;
    failed_ = false;
    Result<Opened> opened = open_connections(access, owner);
    if (opened.ok()) return opened;
    drop_writer();
    reader_.reset();
    return opened;
  }

  Result<void> commit(const Group& group) override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return closed();
    return checked(writer_->commit(group));
  }

  Result<std::vector<Exchanged>> exchange(std::span<const Transaction> transactions) override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return closed();
    if (writer_->access() != Access::share) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = "the store is owned, not shared: an owner commits"};
    }
    return checked(writer_->exchange(transactions));
  }

  Result<void> renew() override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return closed();
    return checked(writer_->renew());
  }

  Result<std::uint64_t> last_group() override {
    return reading([](Connection& reader) { return postgres::read_last_group(reader); });
  }

  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) override {
    std::vector<Damaged> damaged;
    auto read = reading([&](Connection& reader) -> Result<std::vector<StoredCustomer>> {
      auto found = postgres::find_customers(reader, ids, damaged);
      if (!found.ok()) return std::move(found).error();
      return (*std::move(found)).take(ids);
    });
    set_aside(damaged);
    return read;
  }

  // On a connection of its own: it may take long, and `visit` may read.
  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(StoredCustomer)>& visit) override {
    {
      const std::lock_guard reading(reader_mutex_);
      if (!is_open_) return closed();
    }
    auto connection = Connection::open(*address_, timeouts());
    if (!connection.ok()) return std::move(connection).error();
    std::vector<Damaged> damaged;
    Result<void> scanned = postgres::scan_customers(**connection, after, visit, damaged);
    connection->reset();
    set_aside(damaged);
    return scanned;
  }

  Result<Status> status() override {
    auto status = reading([](Connection& reader) { return postgres::read_status(reader); });
    if (status.ok()) {
      const std::lock_guard reading(reader_mutex_);
      status->weaker = weaker_;
    }
    return status;
  }

  Result<void> close() override { return shut(); }

private:
  Timeouts timeouts() const {
    return {.connect = options_.connect_timeout, .silence = options_.timeout};
  }

  Error closed() const {
    return {.code = ErrorCode::store_unavailable,
            .message = fmt::format("the PostgreSQL store is not open{}",
                                   failed_ ? ": open it again after its failure" : " to write")};
  }

  /// REQUIRES: both mutexes are held.
  Result<Opened> open_connections(Access access, const Owner& owner) {
    Result<Address> address = postgres::read_address(options_.url);
    if (!address.ok()) return std::move(address).error();
    address_ = *std::move(address);
    weaker_.reset();
    if (access != Access::read) {
      auto writer = Writer::open(writer_options(), access, owner);
      if (!writer.ok()) return std::move(writer).error();
      writer_ = *std::move(writer);
      weaker_ = writer_->weaker();
    }
    auto reader = open_reader();
    if (!reader.ok()) return std::move(reader).error();
    reader_ = *std::move(reader);
    std::vector<Damaged> damaged;
    Result<Overview> overview = postgres::read_overview(*reader_, damaged);
    if (!overview.ok()) return std::move(overview).error();
    Opened opened{.last_group = overview->last_group,
                  .customers = overview->customers,
                  .estimates = std::move(overview->estimates),
                  .policy = std::move(overview->policy),
                  .weaker = weaker_};
    if (writer_) opened.renew_every = address_->lease / 3;
    for (const Damaged& text : damaged) opened.damage.push_back(error_of(text));
    if (writer_ && !damaged.empty()) {
      if (auto kept = writer_->set_aside(damaged); !kept.ok()) return std::move(kept).error();
    }
    is_open_ = true;
    return opened;
  }

  Writer::Options writer_options() const {
    return {.address = *address_,
            .timeouts = timeouts(),
            .accept_weaker = options_.accept_weaker,
            .token = token_,
            .asked = asked_};
  }

  Result<std::unique_ptr<Connection>> open_reader() const {
    auto reader = Connection::open(*address_, timeouts());
    if (!reader.ok()) return reader;
    const Result<postgres::Found> found = postgres::look_at(**reader);
    if (!found.ok()) return found.error();
    if (*found == postgres::Found::ours) return reader;
    return Error{
        .code = ErrorCode::invalid_argument,
        .message = fmt::format("`{}` is empty: nobody has written to it yet", address_->name)};
  }

  /// One of those who read. A connection that was lost since the store was opened is made again.
  template <typename Do>
  auto reading(Do read) -> decltype(read(std::declval<Connection&>())) {
    const std::lock_guard reading(reader_mutex_);
    if (!is_open_) return closed();
    if (!reader_) {
      auto reader = open_reader();
      if (!reader.ok()) return std::move(reader).error();
      reader_ = *std::move(reader);
    }
    auto done = read(*reader_);
    if (!done.ok()) reader_.reset();
    return done;
  }

  /// The result, after letting go of a writer that has failed. REQUIRES: the writer's mutex is
  /// held.
  template <typename T>
  Result<T> checked(Result<T> result) {
    if (result.ok() || result.error().code == ErrorCode::invalid_argument) return result;
    drop_writer();
    failed_ = true;
    return result;
  }

  void drop_writer() {
    if (writer_) asked_ = writer_->asked();
    writer_.reset();
  }

  // Where it cannot be kept now, it stands where it is and is found again.
  void set_aside(const std::vector<Damaged>& damaged) {
    if (damaged.empty()) return;
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return;
    [[maybe_unused]] const auto kept = checked(writer_->set_aside(damaged));
  }

  Result<void> shut() {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(reader_mutex_);
    Result<void> released;
    if (writer_) released = writer_->release();
    drop_writer();
    reader_.reset();
    is_open_ = false;
    failed_ = false;
    return released;
  }

  const PostgresOptions options_;
  const std::int64_t token_;
  std::optional<Address> address_;  // Guarded by both.

  std::mutex writer_mutex_;
  std::unique_ptr<Writer> writer_;
  std::uint64_t asked_ = 0;

  std::mutex reader_mutex_;
  bool is_open_ = false;
  std::optional<std::string> weaker_;
  std::unique_ptr<Connection> reader_;
  std::atomic<bool> failed_ = false;
};

}  // namespace

std::unique_ptr<Store> postgres_store(PostgresOptions options) {
  return std::make_unique<PostgresStore>(std::move(options));
}

}  // namespace limitr::store
