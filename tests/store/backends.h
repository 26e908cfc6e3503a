// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/test_folder.h"
#include "store/store.h"

// The stores that the contract is held against, and what its tests share.
namespace limitr::store {

/// One place where state is kept. Stores of one place share it.
class Place {
public:
  virtual ~Place() = default;
  virtual std::unique_ptr<Store> store() = 0;
};

struct Backend {
  std::string name;
  std::function<std::unique_ptr<Place>()> make;
  bool outlives_process;   ///< What is written is there for the next process.
  bool is_shared = false;  ///< Several engines may write to it.
};

inline std::ostream& operator<<(std::ostream& out, const Backend& backend) {
  return out << backend.name;
}

std::vector<Backend> backends();
std::vector<Backend> backends_that_outlive_process();
std::vector<Backend> backends_that_are_shared();

inline std::string backend_name(const ::testing::TestParamInfo<Backend>& info) {
  return info.param.name;
}

/// What tests open with.
Owner an_owner(const std::string& host = "test-host");

CustomerWrite put(std::string id, std::string record, std::vector<std::string> alt_ids = {});
CustomerWrite removal(std::string id);
StoredRequest a_request(std::uint64_t number, std::string id = {}, std::string answer = "true");
Group a_group(std::uint64_t number, std::vector<CustomerWrite> customers);

/// What a call failed with; none where it did not.
template <typename T>
std::optional<ErrorCode> failure(const Result<T>& result) {
  return result.ok() ? std::nullopt : std::optional(result.error().code);
}

/// Opens, and fails the test where that fails.
Opened open_own(Store& store);
void must_commit(Store& store, const Group& group);

/// All customers, in the order in which scan() gives them.
std::vector<StoredCustomer> scan_all(Store& store);
/// The only customer of this ID or alternate ID.
std::optional<StoredCustomer> read_one(Store& store, const std::string& id);
/// The record of the only customer of this ID or alternate ID; "-" where there is none.
std::string record_of(Store& store, const std::string& id);

}  // namespace limitr::store
