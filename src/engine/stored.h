// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <limitr/options.h>
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

/// Who this process is to a store.
store::Owner this_process(Timestamp now);

/// Whether there is something to be read of a stored customer. What is damaged is logged.
bool is_whole(const store::StoredCustomer& stored,
              const std::function<void(std::string_view)>& log);

/// What the store's error means to a caller whose change it did not take.
Error not_taken(const Error& error);

}  // namespace limitr::engine
