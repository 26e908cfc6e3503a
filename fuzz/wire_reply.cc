// SPDX-License-Identifier: Apache-2.0
#include "wire.h"

// The input: a message from a server to an engine. What must hold is in wire.h.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  limitr::fuzz::require_message(limitr::fuzz::text_of(data, size), limitr::wire::decode_reply);
  return 0;
}
