// SPDX-License-Identifier: Apache-2.0
#include "wire.h"

// The input: a message from an engine to a server. What must hold is in wire.h.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  limitr::fuzz::require_message(limitr::fuzz::text_of(data, size), limitr::wire::decode_request);
  return 0;
}
