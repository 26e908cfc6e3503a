// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <simdjson.h>

#include <limitr/result.h>
#include "base/symbols.h"
#include "state/customer.h"
#include "state/name_cache.h"

namespace limitr::state {

inline Error record_invalid(std::string message, std::string where = {}) {
  return {
      .code = ErrorCode::record_invalid, .message = std::move(message), .where = std::move(where)};
}

/// A remembered request as exports have it.
struct ExportedRequest {
  std::string customer;
  RememberedRequest request;
};

/// Reads many records with one parser, each as a text of its own: what is wrong with one says
/// nothing of the next.
/// REQUIRES, for all texts: SIMDJSON_PADDING readable bytes behind them.
class RecordReader {
public:
  explicit RecordReader(SymbolTable& names) : names_(names) {}

  /// Errors: record_invalid; `where` is the path of the field inside the record.
  Result<Customer> read(std::string_view record);
  /// The ID that a record names, also where the rest of it cannot be read.
  std::optional<std::string> id_of(std::string_view record);
  /// The statistics of a segment. Errors: as read().
  Result<EstimateStats> read_estimate(std::string_view segment, std::string_view text);
  /// Errors: as read().
  Result<ExportedRequest> read_request(std::string_view text);

private:
  template <typename T, typename Read>
  Result<T> read_whole(std::string_view text, std::string_view kind, const Read& read);

  NameCache names_;
  std::size_t meters_ = 0;  // of the last customer read
  simdjson::ondemand::parser parser_;
};

}  // namespace limitr::state
