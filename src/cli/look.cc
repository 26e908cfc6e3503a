// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "call/time_text.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/store_commands.h"
#include "cli/terminal.h"
#include "open/audit_store.h"

// What a store says of itself, and whether it contradicts itself.
namespace limitr::cli {
namespace {

void show(const AuditFinding& finding, const Style& style) {
  std::string place = finding.customer;
  if (!finding.field.empty()) place += (place.empty() ? "" : ": ") + finding.field;
  std::string numbers;
  if (finding.expected && finding.found) {
    numbers =
        fmt::format(" ({} and {})", to_json_text(*finding.expected), to_json_text(*finding.found));
  }
  print("{}{}{}{}\n", style.strong(place), place.empty() ? "" : ": ", finding.message, numbers);
}

void write(JsonWriter& out, const StoreAudit& audit) {
  out.begin_object().field("customers", audit.customers).field("requests", audit.requests);
  out.key("findings").begin_array();
  for (const AuditFinding& finding : audit.findings) {
    out.begin_object()
        .field("customer", finding.customer)
        .field("field", finding.field)
        .field("message", finding.message)
        .field("expected", finding.expected)
        .field("found", finding.found)
        .end_object();
  }
  out.end_array().end_object();
}

void write(JsonWriter& out, const store::Status& status, const store::Opened& opened) {
  out.begin_object().field("kind", status.kind).field("software", status.software);
  out.field("schema", status.schema).key("owner");
  if (status.owner) {
    out.begin_object().field("host", status.owner->host).field("process", status.owner->process);
    out.field("since", status.owner->since).end_object();
  } else {
    out.null();
  }
  out.field("customers", status.customers)
      .field("requests", status.requests)
      .field("bytes", status.bytes)
      .field("last_group", status.last_group)
      .field("has_policy", opened.policy.has_value())
      .end_object();
}

std::string owner_text(const store::Status& status) {
  if (!status.owner) return "none";
  return fmt::format("process {} on {} since {}", status.owner->process, status.owner->host,
                     call::iso_text(status.owner->since));
}

void show(const store::Status& status, const store::Opened& opened) {
  const auto line = [](std::string_view name, const std::string& text) {
    print("{:<12}{}\n", name, text);
  };
  line("kind", status.kind);
  if (!status.software.empty()) line("software", status.software);
  line("schema", fmt::format("{}", status.schema));
  line("owner", owner_text(status));
  line("customers", fmt::format("{}", status.customers));
  line("requests", fmt::format("{}", status.requests));
  line("bytes", fmt::format("{}", status.bytes));
  line("last group", fmt::format("{}", status.last_group));
  line("policy", opened.policy ? fmt::format("{} bytes", opened.policy->size()) : "none");
}

}  // namespace

int fsck(const LookOptions& options) {
  auto store = open_to_read(options.use);
  if (!store.ok()) return trouble(store.error().to_string());
  const Result<StoreAudit> audit = [&] {
    Progress progress("checking", store->stored.opened().customers);
    return audit_store(store->stored, [&](std::uint64_t customers) -> Result<void> {
      progress.at(customers);
      return {};
    });
  }();
  if (!audit.ok()) return trouble(audit.error().to_string());
  if (options.json) {
    std::string json;
    JsonWriter out(json);
    write(out, *audit);
    print("{}\n", json);
  } else {
    const Style style;
    for (const AuditFinding& finding : audit->findings) show(finding, style);
    const Shown verdict = audit->findings.empty()
                              ? style.good("the books balance")
                              : style.bad(fmt::format("{} do{} not", audit->findings.size(),
                                                      audit->findings.size() == 1 ? "es" : ""));
    print("{} customer{}, {} remembered request{}: {}\n", audit->customers,
          audit->customers == 1 ? "" : "s", audit->requests, audit->requests == 1 ? "" : "s",
          verdict);
  }
  return audit->findings.empty() ? exit_fine : exit_negative;
}

int show_store(const LookOptions& options) {
  auto store = open_to_read(options.use);
  if (!store.ok()) return trouble(store.error().to_string());
  const auto status = store->stored.status();
  if (!status.ok()) return trouble(status.error().to_string());
  const store::Opened& opened = store->stored.opened();
  name_damage(opened.damage);
  if (options.json) {
    std::string json;
    JsonWriter out(json);
    write(out, *status, opened);
    print("{}\n", json);
  } else {
    show(*status, opened);
  }
  return opened.damage.empty() ? exit_fine : exit_negative;
}

int show_policy(const LookOptions& options) {
  auto store = open_to_read(options.use);
  if (!store.ok()) return trouble(store.error().to_string());
  const Result<std::string> policy = kept_policy(store->stored, options.use.url);
  if (!policy.ok()) return trouble(policy.error().to_string());
  print("{}\n", *policy);
  return exit_fine;
}

}  // namespace limitr::cli
