// SPDX-License-Identifier: Apache-2.0
#include "fuzz.h"
#include "policy.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  limitr::fuzz::try_policy(limitr::fuzz::text_of(data, size), limitr::Format::yaml);
  return 0;
}
