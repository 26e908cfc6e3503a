// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include <limitr/limitr.h>
#include <limitr/result.h>
#include "policy/document.h"
#include "store/store.h"

namespace limitr {

/// The store of a URL, not opened yet; with `accept_weaker`, also one that keeps less than it
/// should. Errors: invalid_argument, naming the URL and what is wrong.
Result<std::unique_ptr<store::Store>> store_at(std::string_view url, bool accept_weaker = false);

/// Limitr::open() with a store of one's own, whatever the options say: for tests of what an engine
/// does when its store fails.
Result<Limitr> open_with_store(std::string_view policy, Options options,
                               std::unique_ptr<store::Store> store);

/// Limitr::open() for a document that is read already.
Result<Limitr> open_with_document(const policy::Node& policy, Options options);

}  // namespace limitr
