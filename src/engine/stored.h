// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/result.h>
#include "base/symbols.h"
#include "engine/slot.h"
#include "state/customer.h"
#include "store/store.h"

// Between customers in memory and what stores keep of them, for engines that own a store and those
// that share one.
namespace limitr::engine {

/// A request as an engine remembers it.
state::RememberedRequest remembered(const store::StoredRequest& request);

/// A customer as the store has it. Errors: record_invalid, naming the customer.
Result<state::Customer> customer_of(const store::StoredCustomer& stored, SymbolTable& names);

/// What a store is to keep of a slot's customer from now on; its requests count as written then.
/// REQUIRES: the slot's shard is locked.
store::CustomerWrite write_of(Slot& slot, const SymbolTable& names);

/// A customer that was read, and the version that it had.
struct Loaded {
  state::Customer customer;
  std::uint64_t version;
};

/// The customers of these IDs or alternate IDs, as the store has them. What is damaged is logged
/// and left out. Errors: those of Store::read(); record_invalid.
Result<std::vector<Loaded>> read_from(store::Store& store, std::span<const std::string> ids,
                                      SymbolTable& names,
                                      const std::function<void(std::string_view)>& log);

/// Calls `visit` with every customer as the store has it, as of one moment; otherwise as
/// read_from().
Result<void> scan_from(store::Store& store,
                       const std::function<void(const store::StoredCustomer&)>& visit,
                       const std::function<void(std::string_view)>& log);

/// Who this process is to a store.
store::Owner this_process(Timestamp now);

/// Whether there is something to be read of a stored customer. What is damaged is logged.
bool is_whole(const store::StoredCustomer& stored,
              const std::function<void(std::string_view)>& log);

/// Logs what a store has to say of itself when it is opened.
void log_opened(const store::Opened& opened, const std::function<void(std::string_view)>& log);

/// Whether an error says that there is no connection to a Cloud server: for now, or because it does
/// not accept the token any more.
bool is_cut_off(const Error& error);
/// What the store's error means to a caller whose change it did not take.
Error not_taken(const Error& error);

}  // namespace limitr::engine
