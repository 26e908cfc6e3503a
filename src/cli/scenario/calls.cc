// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/calls.h"

namespace limitr::scenario {

const CallKind* find_call(std::string_view name) {
  for (const auto chapter :
       {deciding_calls(), customer_calls(), pricing_calls(), reading_calls(), policy_calls()}) {
    for (const CallKind& call : chapter)
      if (call.name == name) return &call;
  }
  return nullptr;
}

}  // namespace limitr::scenario
