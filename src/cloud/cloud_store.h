// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <limitr/time.h>
#include "cloud/link.h"
#include "store/store.h"

namespace limitr::cloud {

/// The customers of a server as a store that engines share, with homes. A message waits for its
/// answer that long. What is asked for without a connection fails at once, with `unconnected`, and
/// has changed nothing; open() again tells whether there is one.
std::unique_ptr<store::Store> cloud_store(std::unique_ptr<Link> link, Millis timeout);

}  // namespace limitr::cloud
