// SPDX-License-Identifier: Apache-2.0
#include "engine/stored.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <utility>

#include <fmt/format.h>

#include "state/record.h"

namespace limitr::engine {

using state::Customer;
using state::RememberedRequest;

namespace {

store::StoredRequest stored(const RememberedRequest& request) {
  return {.number = request.number,
          .id = request.id,
          .fingerprint = request.fingerprint,
          .answer = request.answer,
          .at = request.at};
}

}  // namespace

RememberedRequest remembered(const store::StoredRequest& request) {
  return {.number = request.number,
          .id = request.id,
          .fingerprint = request.fingerprint,
          .answer = request.answer,
          .at = request.at};
}

Result<Customer> customer_of(const store::StoredCustomer& stored, SymbolTable& names) {
  Result<Customer> customer = state::read_customer(stored.record, names);
  if (!customer.ok()) {
    Error error = std::move(customer).error();
    error.where = fmt::format("{}: {}", stored.id, error.where);
    return error;
  }
  if (stored.requests.empty()) return customer;
  state::CustomerRest& rest = customer->own_rest();
  for (const store::StoredRequest& request : stored.requests) {
    rest.requests.push_back(remembered(request));
  }
  rest.requests_written = rest.requests.back().number;
  return customer;
}

store::CustomerWrite write_of(Slot& slot, const SymbolTable& names) {
  store::CustomerWrite write;
  write.id = slot.customer.id;
  if (slot.removed) return write;
  write.record = state::to_record(slot.customer, names);
  if (!slot.customer.rest) return write;
  state::CustomerRest& rest = *slot.customer.rest;
  write.alt_ids = rest.alt_ids;
  for (const RememberedRequest& request : rest.requests) {
    if (request.number > rest.requests_written) write.new_requests.push_back(stored(request));
  }
  if (!rest.requests.empty()) rest.requests_written = rest.requests.back().number;
  write.first_request =
      rest.requests.empty() ? rest.requests_written + 1 : rest.requests.front().number;
  return write;
}

store::Owner this_process(Timestamp now) {
  std::array<char, HOST_NAME_MAX + 1> host{};
  if (gethostname(host.data(), HOST_NAME_MAX) != 0) host = {'?'};
  return {.host = host.data(), .process = getpid(), .since = now};
}

bool is_whole(const store::StoredCustomer& stored,
              const std::function<void(std::string_view)>& log) {
  if (!stored.damage) return true;
  const bool is_lost = stored.record.empty();
  log(fmt::format("{} `{}`: {}", is_lost ? "not loaded:" : "loaded without a request:", stored.id,
                  stored.damage->to_string()));
  return !is_lost;
}

Result<std::vector<Loaded>> read_from(store::Store& store, std::span<const std::string> ids,
                                      SymbolTable& names,
                                      const std::function<void(std::string_view)>& log) {
  Result<std::vector<store::StoredCustomer>> read = store.read(ids);
  if (!read.ok()) return std::move(read).error();
  std::vector<Loaded> loaded;
  for (const store::StoredCustomer& stored : *read) {
    if (!is_whole(stored, log)) continue;
    Result<Customer> customer = customer_of(stored, names);
    if (!customer.ok()) return std::move(customer).error();
    loaded.push_back({*std::move(customer), stored.version});
  }
  return loaded;
}

Result<void> scan_from(store::Store& store,
                       const std::function<void(const store::StoredCustomer&)>& visit,
                       const std::function<void(std::string_view)>& log) {
  return store.scan([&](const store::StoredCustomer& stored) {
    if (is_whole(stored, log)) visit(stored);
    return true;
  });
}

void log_opened(const store::Opened& opened, const std::function<void(std::string_view)>& log) {
  if (opened.weaker) log("the store may lose what it has taken: " + *opened.weaker);
  for (const Error& damage : opened.damage) log(damage.to_string());
}

bool is_cut_off(const Error& error) {
  return error.code == ErrorCode::unconnected || error.code == ErrorCode::unauthorized;
}

Error not_taken(const Error& error) {
  const bool is_final = error.code == ErrorCode::store_fenced || is_cut_off(error);
  return {.code = is_final ? error.code : ErrorCode::store_unavailable,
          .message = "the store did not take the change, and nothing has changed: " + error.message,
          .where = error.where};
}

}  // namespace limitr::engine
