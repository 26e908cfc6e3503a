// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "store/checksum.h"
#include "store/postgres/chunk.h"
#include "store/postgres/reader.h"
#include "store/postgres/writer.h"

// Exchanges of those who share a store; src/store/postgres/functions.cc has what the server does.
namespace limitr::store::postgres {
namespace {

// Others may have been in the way, or the server has ended one of two that waited for each other.
constexpr int tries_max = 8;
// How many numbers go by until those that nobody may ask for any more are taken away.
constexpr std::uint64_t forget_every = 512;

enum class Kind : std::uint8_t { stays = 0, put = 1, removed = 2 };

/// Transactions as the values of the function exchange.
class ExchangeArrays {
public:
  void add(const Transaction& transaction) {
    numbers_.add(as_signed(transaction.number));
    for (const Part& part : transaction.parts) add(part);
    ends_.add(static_cast<std::int64_t>(ids_.size()));
  }

  void add_to(Values& values) const {
    for (const Array* array :
         {&numbers_, &ends_, &families_, &ids_, &full_ids_, &versions_, &kinds_, &records_,
          &alt_lists_, &alt_families_, &alt_sums_, &sums_, &first_requests_, &request_ends_}) {
      values.add(*array);
    }
    requests_.add_to(values);
    // In the order of their keys: two exchanges never wait for each other.
    Array families(Array::Of::text), ids(Array::Of::text), to_write(Array::Of::boolean);
    for (const auto& [key, is_written] : locks_) {
      families.add(key.family);
      ids.add(key.id);
      to_write.add(std::int64_t{is_written});
    }
    values.add(families).add(ids).add(to_write);
  }

private:
  void add(const Part& part) {
    const Key key = key_of(part.id);
    locks_[key] |= part.write.has_value();
    families_.add(key.family);
    ids_.add(key.id);
    versions_.add(as_signed(part.version));
    if (is_cut(key.id)) {
      full_ids_.add(column_text(part.id));
    } else {
      full_ids_.add_null();
    }
    const bool is_put = part.write && part.write->record;
    const Kind kind = !part.write ? Kind::stays : is_put ? Kind::put : Kind::removed;
    kinds_.add(static_cast<std::int64_t>(kind));
    if (is_put) {
      put(*part.write, key);
    } else {
      records_.add_null();
      alt_lists_.add("{}");
      alt_families_.add("{}");
      alt_sums_.add("{}");
      sums_.add(std::int64_t{0});
      first_requests_.add(std::int64_t{0});
    }
    request_ends_.add(static_cast<std::int64_t>(requests_.numbers.size()));
  }

  void put(const CustomerWrite& write, const Key& key) {
    records_.add(column_text(*write.record));
    sums_.add(as_signed(record_checksum(write.id, 0, *write.record)));
    first_requests_.add(as_signed(write.first_request));
    std::vector<std::string> alts, families, sums;
    for (const Key& alt : alt_keys(write)) {
      alts.push_back(alt.id);
      families.push_back(alt.family);
      sums.push_back(std::to_string(alt_checksum(alt, key)));
    }
    alt_lists_.add(array_literal(alts));
    alt_families_.add(array_literal(families));
    alt_sums_.add(array_literal(sums));
    std::map<std::uint64_t, const StoredRequest*> last;
    for (const StoredRequest& request : write.new_requests) last[request.number] = &request;
    for (const auto& [number, request] : last) requests_.add(write.id, *request);
  }

  Array numbers_{Array::Of::bigint}, ends_{Array::Of::integer};
  Array families_{Array::Of::text}, ids_{Array::Of::text}, full_ids_{Array::Of::text},
      versions_{Array::Of::bigint}, kinds_{Array::Of::integer}, records_{Array::Of::text},
      alt_lists_{Array::Of::text}, alt_families_{Array::Of::text}, alt_sums_{Array::Of::text},
      sums_{Array::Of::bigint}, first_requests_{Array::Of::bigint},
      request_ends_{Array::Of::integer};
  RequestArrays requests_;
  std::map<Key, bool> locks_;
};

bool is_worth_another_try(std::string_view state) {
  return state == "40P01" || state == "40001" || state == "55P03";
}

/// Those of its parts that are not what they were, among those who are there now.
std::vector<StoredCustomer> changed_parts(const Transaction& transaction,
                                          const FoundCustomers& found) {
  std::vector<StoredCustomer> changed;
  for (const Part& part : transaction.parts) {
    const StoredCustomer* now = found.by_name(part.id);
    if (now == nullptr && part.version == 0) continue;
    if (now != nullptr && now->id == part.id && now->version == part.version) continue;
    StoredCustomer nobody;
    nobody.id = part.id;
    changed.push_back(now != nullptr ? *now : nobody);
  }
  return changed;
}

}  // namespace

Result<std::vector<Exchanged>> Writer::exchange(std::span<const Transaction> transactions) {
  if (transactions.size() > most_transactions) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("{} transactions are more than the {} of one exchange",
                                        transactions.size(), most_transactions)};
  }
  std::vector<Exchanged> all(transactions.size());
  std::vector<std::size_t> open;  // Those that are not answered yet.
  for (std::size_t i = 0; i < transactions.size(); ++i) open.push_back(i);
  for (int tries = 0; !open.empty(); ++tries) {
    if (tries == tries_max) {
      return Error{.code = ErrorCode::outcome_unknown,
                   .message = fmt::format("`{}`: others were in the way again and again",
                                          connection_->address().name)};
    }
    if (auto tried = exchange_once(transactions, open, all); !tried.ok()) {
      if (is_worth_another_try(connection_->state()) && !connection_->is_broken()) continue;
      return std::move(tried).error();
    }
    if (auto told = add_current(transactions, open, all); !told.ok()) {
      // The others are written, which nobody has been told.
      Error error = std::move(told).error();
      error.code = ErrorCode::outcome_unknown;
      return error;
    }
    // What was in the way may have gone meanwhile.
    std::erase_if(open,
                  [&](std::size_t i) { return all[i].is_written || !all[i].current.empty(); });
  }
  return all;
}

Result<void> Writer::exchange_once(std::span<const Transaction> transactions,
                                   const std::vector<std::size_t>& open,
                                   std::vector<Exchanged>& all) {
  ExchangeArrays arrays;
  // Numbers ascend: one that is no higher than those before may be written already.
  const bool is_repeat = transactions[open.front()].number <= asked_;
  for (const std::size_t i : open) {
    arrays.add(transactions[i]);
    asked_ = std::max(asked_, transactions[i].number);
  }
  const std::uint64_t keep_from = asked_ > most_transactions ? asked_ - most_transactions : 0;
  const bool is_time = keep_from >= forgotten_ + forget_every;
  Values values;
  values.add(token_).add(std::int64_t{lease_.count()}).add_flag(is_repeat);
  values.add(is_time ? keep_from : 0);
  arrays.add_to(values);
  auto sent = connection_->send(call("exchange", static_cast<int>(values.size())), values);
  if (!sent.ok()) return sent;
  const auto rows = end();
  if (!rows.ok()) return rows.error();
  if (is_time) forgotten_ = keep_from;
  const std::vector<std::int64_t> written = numbers_of(rows->front().text(0, 0));
  const std::vector<std::int64_t> versions = numbers_of(rows->front().text(0, 1));
  std::size_t next = 0;
  for (std::size_t t = 0; t < open.size(); ++t) {
    Exchanged& exchanged = all[open[t]];
    exchanged.is_written = written.at(t) != 0;
    for (std::size_t part = 0; part < transactions[open[t]].parts.size(); ++part, ++next) {
      if (exchanged.is_written) {
        exchanged.versions.push_back(static_cast<std::uint64_t>(versions.at(next)));
      }
    }
  }
  return {};
}

Result<void> Writer::add_current(std::span<const Transaction> transactions,
                                 const std::vector<std::size_t>& open,
                                 std::vector<Exchanged>& all) {
  std::vector<std::string> names;
  for (const std::size_t i : open) {
    if (all[i].is_written) continue;
    for (const Part& part : transactions[i].parts) names.push_back(part.id);
  }
  if (names.empty()) return {};
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  std::vector<Damaged> damaged;
  const auto found = find_customers(*connection_, names, damaged);
  if (!found.ok()) return found.error();
  for (const std::size_t i : open) {
    if (!all[i].is_written) all[i].current = changed_parts(transactions[i], *found);
  }
  return {};
}

}  // namespace limitr::store::postgres
