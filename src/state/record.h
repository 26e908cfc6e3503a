// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include <limitr/result.h>
#include "base/json_writer.h"
#include "base/symbols.h"
#include "state/customer.h"

// The portable form of customers: JSON text with the field names of the spec, which reads back to
// the same state and writes again to the same bytes. Fields that are not ours are kept.
// spec: state.md, Record fields
namespace limitr::state {

/// The version of the record format that is written.
inline constexpr int record_format = 1;

/// The record as users see it: without `cloud`, which is between engines and their server.
void write_customer(JsonWriter& json, const Customer& customer, const SymbolTable& names);
/// Who the customer is, without its state: what events say of customers.
void write_identity(JsonWriter& json, const Customer& customer, const SymbolTable& names);
/// `extra` may be null.
void write_meter(JsonWriter& json, const Meter& meter, const MeterExtra* extra,
                 const SymbolTable& names);
void write_hold(JsonWriter& json, const Hold& hold);
void write_estimate(JsonWriter& json, const EstimateStats& stats);
void write_grant(JsonWriter& json, const Grant& grant, const SymbolTable& names);
void write_cap(JsonWriter& json, const Cap& cap, const SymbolTable& names);
void write_limit(JsonWriter& json, const Limit& limit, const SymbolTable& names,
                 const Json& unknown = nullptr);

/// Appends a remembered request, with its customer's ID, as exports have it.
void write_request(std::string& text, std::string_view customer, const RememberedRequest& request);

/// Whether a text is what some call answers: what may be kept of a remembered request.
bool is_answer(std::string_view text);

/// One customer's record as text of its own, with all that is kept.
std::string to_record(const Customer& customer, const SymbolTable& names);

/// What users see of a record as it is kept: write_customer(). One that cannot be read stays as it
/// is.
std::string shown_record(const std::string& record, SymbolTable& names);

/// Reads one record. Errors: record_invalid; `where` is the path of the field inside the record.
Result<Customer> read_customer(std::string_view record, SymbolTable& names);

/// What a snapshot's reader is told of each record, in the order of the text.
struct RecordSink {
  std::function<void(Customer)> loaded;
  /// The customer's ID, or "[n]" where there is none; `estimates.NAME.SEGMENT`, `requests[n]`;
  /// empty for a part of the text in which no record can be told.
  std::function<void(std::string id, Error)> refused;
  std::function<void(std::string_view entitlement, EstimateStats)> estimate;  ///< Policy-wide.
  std::function<void(std::string_view customer, RememberedRequest)> request;
  /// How many records a text that is there as a whole has about, by the size of the first of them.
  std::function<void(std::size_t records)> expected = {};
};

/// Where a text comes from that need not be in memory as a whole: puts what comes next at the front
/// of `room`, which is not empty, and returns how many bytes that is; 0 at its end.
using TextSource = std::function<Result<std::size_t>(std::span<char> room)>;

/// The largest record that a snapshot may have.
inline constexpr std::size_t max_record_bytes = std::size_t{64} << 20U;

/// Reads a snapshot: an object ID -> record, an array of records, or
/// `{format, customers, estimates, requests}`. What is wrong with one record keeps none of the
/// others out:
/// - a record that cannot be read is refused by its ID, with the reason and its place;
/// - where the text around records is damaged, reading goes on at the next record that is certain
/// to
///   be one, and what was skipped is refused;
/// - no customer is loaded under an ID that does not stand before its record.
/// Errors: record_invalid, when the text is no such document, or breaks off; those of the source.
/// What the sink was given until then stands.
Result<void> read_snapshot(std::string_view text, SymbolTable& names, const RecordSink& sink);
/// The same of a text that comes piece by piece. Takes memory for a few times the largest record.
Result<void> read_snapshot(const TextSource& source, SymbolTable& names, const RecordSink& sink);

}  // namespace limitr::state
