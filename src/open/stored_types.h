// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <limitr/result.h>
#include "policy/document.h"
#include "state/customer.h"
#include "store/store.h"

// What stores keep, as the engine's own types.
namespace limitr {

/// A policy as stores keep it. Its bounds were held against it when it was given.
Result<policy::Node> parse_stored_policy(const std::string& text);

/// What is damaged of a customer, with its name in front. REQUIRES: something is.
Error damage_of(const store::StoredCustomer& customer);

state::RememberedRequest request_of(const store::StoredRequest& request);

}  // namespace limitr
