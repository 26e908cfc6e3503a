// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace limitr::core {

/// Where the IDs of new grants, caps and holds come from: randomness is an input.
class IdSource {
public:
  virtual ~IdSource() = default;
  /// An ID that no other call has got or will get.
  virtual std::string next() = 0;
};

}  // namespace limitr::core
