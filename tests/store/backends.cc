// SPDX-License-Identifier: Apache-2.0
#include "backends.h"

#include <utility>

#include "store/file/file_store.h"
#include "store/memory_store.h"
#include "store/sqlite/sqlite_store.h"

#ifdef LIMITR_REDIS
#include "redis_cluster.h"
#include "redis_server.h"
#include "store/redis/redis_store.h"
#endif
#ifdef LIMITR_POSTGRES
#include "postgres_server.h"
#include "store/postgres/postgres_store.h"
#endif

namespace limitr::store {
namespace {

class MemoryPlace final : public Place {
public:
  std::unique_ptr<Store> store() override { return memory_store(name_); }

private:
  static std::string next_name() {
    static int number = 0;
    return "place " + std::to_string(++number);
  }

  const std::string name_ = next_name();
  const std::unique_ptr<Store> keeper_ = memory_store(name_);  // What is kept lives with a store.
};

class FilePlace final : public Place {
public:
  std::unique_ptr<Store> store() override { return file_store({.path = folder_.file("s.json")}); }

private:
  const TestFolder folder_;
};

class SqlitePlace final : public Place {
public:
  std::unique_ptr<Store> store() override { return sqlite_store({.path = folder_.file("s.db")}); }

private:
  const TestFolder folder_;
};

#ifdef LIMITR_REDIS
class RedisPlace final : public Place {
public:
  explicit RedisPlace(Millis lease) : options_(RedisServer::shared().options(next_prefix())) {
    options_.lease = lease;
  }

  std::unique_ptr<Store> store() override { return redis_store(options_); }

private:
  static std::string next_prefix() {
    static int number = 0;
    return "place" + std::to_string(++number);
  }

  RedisOptions options_;
};

Backend redis_backend(Millis lease) {
  return {.name = "redis",
          .make = [lease] { return std::make_unique<RedisPlace>(lease); },
          .outlives_process = true,
          .is_shared = true};
}

class RedisClusterPlace final : public Place {
public:
  RedisClusterPlace(Millis lease, bool is_tagged)
      : options_(RedisCluster::shared().options(next_prefix())), is_tagged_(is_tagged) {
    options_.lease = lease;
  }

  std::unique_ptr<Store> store() override {
    return is_tagged_ ? tagged(redis_store(options_)) : redis_store(options_);
  }

private:
  static std::string next_prefix() {
    static int number = 0;
    return "place" + std::to_string(++number);
  }

  RedisOptions options_;
  const bool is_tagged_;
};

Backend redis_cluster_backend(Millis lease, bool is_tagged = false) {
  return {.name = "redis_cluster",
          .make = [=] { return std::make_unique<RedisClusterPlace>(lease, is_tagged); },
          .outlives_process = true,
          .is_shared = true};
}
#endif

#ifdef LIMITR_POSTGRES
class PostgresPlace final : public Place {
public:
  explicit PostgresPlace(Millis lease)
      : url_(PostgresServer::shared().url("&schema=" + next_schema() +
                                          "&lease=" + std::to_string(lease.count()))) {}

  std::unique_ptr<Store> store() override { return postgres_store({.url = url_}); }

private:
  static std::string next_schema() {
    static int number = 0;
    return "place_" + std::to_string(++number);
  }

  const std::string url_;
};

Backend postgres_backend(Millis lease) {
  return {.name = "postgres",
          .make = [lease] { return std::make_unique<PostgresPlace>(lease); },
          .outlives_process = true,
          .is_shared = true};
}
#endif

}  // namespace

std::vector<Backend> backends() {
  return {
      {.name = "memory",
       .make = [] { return std::make_unique<MemoryPlace>(); },
       .outlives_process = false,
       .is_shared = true},
      {.name = "file",
       .make = [] { return std::make_unique<FilePlace>(); },
       .outlives_process = true},
      {.name = "sqlite",
       .make = [] { return std::make_unique<SqlitePlace>(); },
       .outlives_process = true},
#ifdef LIMITR_REDIS
      redis_backend(Millis(10'000)),
      redis_cluster_backend(Millis(10'000)),
#endif
#ifdef LIMITR_POSTGRES
      postgres_backend(Millis(10'000)),
#endif
  };
}

std::vector<Backend> backends_that_outlive_process() {
  std::vector<Backend> all = backends();
  std::erase_if(all, [](const Backend& backend) { return !backend.outlives_process; });
  // Whoever comes after one that was killed waits for the end of its lease.
  for ([[maybe_unused]] Backend& backend : all) {
#ifdef LIMITR_REDIS
    if (backend.name == "redis") backend = redis_backend(Millis(100));
    if (backend.name == "redis_cluster") backend = redis_cluster_backend(Millis(100));
#endif
#ifdef LIMITR_POSTGRES
    if (backend.name == "postgres") backend = postgres_backend(Millis(100));
#endif
  }
  return all;
}

std::vector<Backend> backends_that_are_shared() {
  std::vector<Backend> all = backends();
  std::erase_if(all, [](const Backend& backend) { return !backend.is_shared; });
#ifdef LIMITR_REDIS
  // Of which a transaction is in one slot.
  for (Backend& backend : all) {
    if (backend.name == "redis_cluster") {
      backend = redis_cluster_backend(Millis(10'000), /*is_tagged=*/true);
    }
  }
#endif
  return all;
}

Owner an_owner(const std::string& host) {
  return {.host = host, .process = 4711, .since = Timestamp(Millis(1'772'355'600'123))};
}

CustomerWrite put(std::string id, std::string record, std::vector<std::string> alt_ids) {
  CustomerWrite write;
  write.id = std::move(id);
  write.record = std::move(record);
  write.alt_ids = std::move(alt_ids);
  return write;
}

CustomerWrite removal(std::string id) {
  CustomerWrite write;
  write.id = std::move(id);
  return write;
}

StoredRequest a_request(std::uint64_t number, std::string id, std::string answer) {
  return {.number = number,
          .id = id.empty() ? "request " + std::to_string(number) : std::move(id),
          .fingerprint = 0xfedc'ba98'7654'3210U ^ number,
          .answer = std::move(answer),
          .at = Timestamp(Millis(1'772'355'600'000 + static_cast<std::int64_t>(number)))};
}

Group a_group(std::uint64_t number, std::vector<CustomerWrite> customers) {
  Group group;
  group.number = number;
  group.customers = std::move(customers);
  return group;
}

Opened open_own(Store& store) {
  Result<Opened> opened = store.open(Access::own, an_owner());
  if (!opened.ok()) {
    ADD_FAILURE() << opened.error().to_string();
    return {};
  }
  return *std::move(opened);
}

void must_commit(Store& store, const Group& group) {
  const Result<void> committed = store.commit(group);
  if (!committed.ok()) ADD_FAILURE() << committed.error().to_string();
}

std::vector<StoredCustomer> scan_all(Store& store) {
  std::vector<StoredCustomer> all;
  const Result<void> scanned = store.scan([&](StoredCustomer customer) {
    all.push_back(std::move(customer));
    return true;
  });
  if (!scanned.ok()) ADD_FAILURE() << scanned.error().to_string();
  return all;
}

std::optional<StoredCustomer> read_one(Store& store, const std::string& id) {
  const std::string ids[] = {id};
  Result<std::vector<StoredCustomer>> found = store.read(ids);
  if (!found.ok()) {
    ADD_FAILURE() << found.error().to_string();
    return std::nullopt;
  }
  EXPECT_LE(found->size(), 1U);
  if (found->empty()) return std::nullopt;
  return std::move(found->front());
}

std::string record_of(Store& store, const std::string& id) {
  const auto found = read_one(store, id);
  return found ? found->record : "-";
}

}  // namespace limitr::store
