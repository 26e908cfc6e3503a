// SPDX-License-Identifier: Apache-2.0
#include "state/audit.h"

#include <fmt/format.h>

#include "engine/engine.h"
#include "state/export_text.h"
#include "state/record.h"

namespace limitr {

using state::Audit;

namespace {

// Holds each customer that was read out of an export against what the export says of it.
class WrittenAgain {
public:
  explicit WrittenAgain(std::string_view text) : text_(text) {}

  bool has(const state::Customer& customer, const SymbolTable& names) {
    const std::string record = state::to_record(customer, names);
    const std::size_t at = text_.find(state::export_customer(customer.id, "{"), at_);
    if (at == std::string_view::npos) return false;
    const std::string written = state::export_customer(customer.id, record);
    at_ = at;
    if (!text_.substr(at).starts_with(written)) return false;
    at_ += written.size();
    return true;
  }

private:
  std::string_view text_;
  std::size_t at_ = 0;  // behind the last customer
};

}  // namespace

// An export is a cut between calls: what contradicts itself in it does so in the state.
Result<std::vector<AuditFinding>> Limitr::fsck() {
  const Result<std::string> text = export_state();
  if (!text.ok()) return text.error();
  const auto names = engine_->shared_names();
  Audit audit(*names);
  WrittenAgain written(*text);
  state::RecordSink sink;
  sink.loaded = [&](const state::Customer& customer) {
    audit.add(customer);
    if (written.has(customer, *names)) return;
    audit.add_finding({.customer = customer.id,
                       .field = {},
                       .message = "its record is written differently when it was read"});
  };
  sink.refused = [&](std::string id, const Error& error) {
    audit.add_finding({.customer = std::move(id),
                       .field = error.where,
                       .message = "its record cannot be read: " + error.message});
  };
  sink.estimate = [](std::string_view, const state::EstimateStats&) {};
  sink.request = [&](std::string_view customer, const state::RememberedRequest& request) {
    audit.add_request(customer, 0, request.id, request.answer);
  };
  if (auto read = state::read_snapshot(*text, *names, sink); !read.ok()) {
    audit.add_finding({.customer = {},
                       .field = read.error().where,
                       .message = "the export cannot be read: " + read.error().message});
  }
  return audit.finish();
}

}  // namespace limitr
