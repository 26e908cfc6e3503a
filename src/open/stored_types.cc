// SPDX-License-Identifier: Apache-2.0
#include "open/stored_types.h"

#include <utility>

#include <fmt/format.h>

#include "open/stored.h"

namespace limitr {

Result<policy::Node> parse_stored_policy(const std::string& text) {
  Result<policy::Node> document =
      policy::parse_document(text, Format::json, stored_policy_bounds());
  if (document.ok()) return document;
  Error error = std::move(document).error();
  error.message = "the policy that the store keeps cannot be read: " + error.message;
  return error;
}

Error damage_of(const store::StoredCustomer& customer) {
  Error error = *customer.damage;
  error.message = fmt::format("customer `{}`: {}", customer.id, error.message);
  return error;
}

state::RememberedRequest request_of(const store::StoredRequest& request) {
  return {.number = request.number,
          .id = request.id,
          .fingerprint = request.fingerprint,
          .answer = request.answer,
          .at = request.at};
}

}  // namespace limitr
