// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <limitr/time.h>
#include "cloud/link.h"
#include "store/store.h"

namespace limitr::cloud {

struct StoreOptions {
  Millis timeout{5000};  ///< How long a message waits for its answer.
  /// For Homes.
  double room_share = 0.01;
  bool denies_unconnected = true;
  std::string local_file = {};
};

/// The customers of a server as a store that engines share, with homes. What is asked for without a
/// connection fails at once, with `unconnected`, and has changed nothing; open() again tells
/// whether there is one.
std::unique_ptr<store::Store> cloud_store(std::unique_ptr<Link> link, const StoreOptions& options);

}  // namespace limitr::cloud
