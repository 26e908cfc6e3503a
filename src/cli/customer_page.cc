// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "call/time_text.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/store_commands.h"
#include "cli/terminal.h"

// All that there is to know of one customer, on one page.
namespace limitr::cli {
namespace {

constexpr std::size_t bar_width = 20;

/// An entitlement as it stands for the customer now.
struct Row {
  std::string entitlement = {};
  std::string credit = {};  ///< Empty: it has no limit.
  std::string mode = {};
  std::optional<double> value = {};
  std::optional<double> limit = {};
  std::optional<double> remaining = {};
  std::optional<double> held = {};
  std::optional<Timestamp> resets = {};
  bool is_overridden = false;
  bool is_unmapped = false;  ///< No plan of today has it.
};

struct Page {
  Json record = {};
  std::string plan = {};
  std::vector<Row> rows = {};
};

const Json& part(const Json& object, std::string_view name) {
  static const Json none = Json::object();
  const auto found = object.find(std::string(name));
  return found == object.end() || !found->is_object() ? none : *found;
}

std::string text_of(const Json& object, std::string_view name) {
  const auto found = object.find(std::string(name));
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

double number_of(const Json& object, std::string_view name) {
  const auto found = object.find(std::string(name));
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::optional<Timestamp> moment_of(const Json& object, std::string_view name) {
  const auto found = object.find(std::string(name));
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return Timestamp(Millis(found->get<std::int64_t>()));
}

std::string number(std::optional<double> amount) { return amount ? to_json_text(*amount) : ""; }

std::string moment(std::optional<Timestamp> at) { return at ? call::iso_text(*at) : ""; }

/// Keeps the first error of many reads.
class Reads {
public:
  template <typename T>
  std::optional<T> take(Read<T> read) {
    if (read.ok()) return *std::move(read);
    if (!failed_) failed_ = std::move(read).error();
    return std::nullopt;
  }
  const std::optional<Error>& failed() const { return failed_; }

private:
  std::optional<Error> failed_;
};

Row row_of(Limitr& limitr, Reads& reads, const std::string& id, const std::string& entitlement) {
  Row row{.entitlement = entitlement};
  const auto limit = reads.take(limitr.limit_object(id, entitlement));
  if (!limit) return row;
  row.credit = text_of(*limit, "credit");
  row.mode = text_of(*limit, "mode");
  row.value = reads.take(limitr.value(id, entitlement));
  row.limit = reads.take(limitr.limit(id, entitlement, /*grants=*/false));
  row.remaining = reads.take(limitr.remaining(id, entitlement));
  row.resets = reads.take(limitr.resets(id, entitlement));
  const auto held = limitr.held(id, entitlement);
  if (held.ok() && *held != 0) row.held = *held;
  return row;
}

/// The page, or nothing where there is no such customer.
Read<Page> page_of(Limitr& limitr, const std::string& asked) {
  Reads reads;
  auto record = reads.take(limitr.customer(asked));
  if (reads.failed()) return *reads.failed();
  if (!record) return std::optional<Page>();
  Page page{.record = *std::move(record)};
  const std::string id = text_of(page.record, "id");
  const std::string own = text_of(page.record, "plan");
  // A plan of the customer's ID would be taken for what is asked.
  auto plan = own.empty() ? std::nullopt : reads.take(limitr.plan(own));
  if (!plan) plan = reads.take(limitr.plan(id));
  const Json& entitlements = plan ? part(*plan, "entitlements") : Json::object();
  if (plan) page.plan = text_of(*plan, "name");
  for (const auto& [entitlement, terms] : entitlements.items()) {
    page.rows.push_back(row_of(limitr, reads, id, entitlement));
    page.rows.back().is_overridden = part(page.record, "overrides").contains(entitlement);
  }
  for (const auto& [entitlement, meter] : part(page.record, "meters").items()) {
    if (entitlements.contains(entitlement)) continue;
    page.rows.push_back({.entitlement = entitlement,
                         .credit = text_of(meter, "credit"),
                         .value = number_of(meter, "value"),
                         .is_unmapped = true});
  }
  // Reading has brought periods, grants and names up to date.
  if (auto now = reads.take(limitr.customer(id))) page.record = *std::move(now);
  if (reads.failed()) return *reads.failed();
  return std::optional(std::move(page));
}

std::string note_of(const Row& row) {
  if (row.is_unmapped) return "not in the plan";
  if (row.credit.empty()) return "no limit";
  std::string note = row.mode == "hard" ? "" : row.mode;
  if (row.is_overridden) note += note.empty() ? "own limit" : ", own limit";
  return note;
}

std::string bar_of(const Row& row) {
  if (!row.value || !row.limit) return "";
  if (*row.limit <= 0) return bar(*row.value > 0 ? 1 : 0, bar_width);
  return bar(*row.value / *row.limit, bar_width);
}

void show_section(std::string_view name, const Table& table, const Style& style) {
  print("\n{}\n{}", style.strong(name), table.text(style));
}

void show_meters(const Page& page, const Style& style) {
  if (page.rows.empty()) return;
  Table table({{"entitlement"},
               {""},
               {"used", true},
               {"of", true},
               {"credit"},
               {"left", true},
               {"held", true},
               {"next reset"},
               {""}});
  for (const Row& row : page.rows) {
    table.add({row.entitlement, bar_of(row), number(row.value), number(row.limit), row.credit,
               number(row.remaining), number(row.held), moment(row.resets), note_of(row)});
  }
  show_section("Meters", table, style);
}

/// In the order in which they were added.
std::vector<Json> in_order(const Json& items) {
  std::vector<Json> list;
  for (const auto& [id, item] : items.items()) list.push_back(item);
  std::stable_sort(list.begin(), list.end(), [](const Json& a, const Json& b) {
    return number_of(a, "seq") < number_of(b, "seq");
  });
  return list;
}

std::string every(const Json& item) {
  if (!item.value("resets", false)) return "";
  std::string schedule = text_of(item, "reset_sch");
  if (!schedule.empty()) return schedule;
  const auto inc = item.find("reset_inc");
  return inc != item.end() && inc->is_number() ? fmt::format("{} ms", to_json_text(*inc)) : "";
}

void show_grants(const Page& page, const Style& style) {
  const Json& grants = part(page.record, "grants");
  if (grants.empty()) return;
  Table table({{"grant"},
               {""},
               {"left", true},
               {"of", true},
               {"credit"},
               {"topup"},
               {"resets"},
               {"expires"}});
  for (const Json& grant : in_order(grants)) {
    const double left = number_of(grant, "value");
    const double whole = number_of(grant, "starting_value");
    table.add({text_of(grant, "id"), bar(whole > 0 ? left / whole : 0, bar_width), number(left),
               number(whole), text_of(grant, "credit"), text_of(grant, "topup"), every(grant),
               moment(moment_of(grant, "expires_on"))});
  }
  show_section("Grants", table, style);
}

void show_caps(const Page& page, const Style& style) {
  const Json& caps = part(page.record, "caps");
  if (caps.empty()) return;
  Table table(
      {{"cap"}, {""}, {"spent", true}, {"of", true}, {"credit"}, {"resets"}, {"expires"}, {""}});
  for (const Json& cap : in_order(caps)) {
    const double spent = number_of(cap, "meter_value");
    const double most = number_of(cap, "value");
    table.add({text_of(cap, "id"), bar(most > 0 ? spent / most : 1, bar_width), number(spent),
               number(most), text_of(cap, "credit"), every(cap),
               moment(moment_of(cap, "expires_on")),
               cap.value("observe_only", false) ? "observes" : ""});
  }
  show_section("Caps", table, style);
}

void show_holds(const Page& page, const Style& style) {
  Table table({{"hold"}, {"entitlement"}, {"value", true}, {"expires"}});
  bool is_any = false;
  for (const auto& [entitlement, meter] : part(page.record, "meters").items()) {
    for (const auto& [id, hold] : part(meter, "holds").items()) {
      is_any = true;
      table.add(
          {id, entitlement, number(number_of(hold, "value")), moment(moment_of(hold, "expires"))});
    }
  }
  if (is_any) show_section("Holds", table, style);
}

void show_overrides(const Page& page, const Style& style) {
  const Json& overrides = part(page.record, "overrides");
  if (overrides.empty()) return;
  Table table({{"own limit of"}, {"value", true}, {"credit"}, {"mode"}, {"expires"}});
  for (const auto& [entitlement, limit] : overrides.items()) {
    table.add({entitlement, number(number_of(limit, "value")), text_of(limit, "credit"),
               text_of(limit, "mode"), moment(moment_of(limit, "override_expires_on"))});
  }
  show_section("Own limits", table, style);
}

std::string joined(const Json& record, std::string_view name) {
  std::string text;
  const auto list = record.find(std::string(name));
  if (list == record.end() || !list->is_array()) return text;
  for (const Json& id : *list) {
    if (!text.empty()) text += ", ";
    text += id.is_string() ? id.get<std::string>() : "";
  }
  return text;
}

void show(const Page& page) {
  const Style style;
  const auto line = [](std::string_view name, const std::string& text) {
    if (!text.empty()) print("{:<12}{}\n", name, text);
  };
  print("{}\n", style.strong(text_of(page.record, "id")));
  const bool is_own = page.plan == text_of(page.record, "plan");
  line("plan", page.plan + (is_own ? "" : " (inherited)"));
  line("type", text_of(page.record, "type"));
  line("label", text_of(page.record, "label"));
  line("also known", joined(page.record, "alt_ids"));
  line("refs", joined(page.record, "refs"));
  const Json& metadata = part(page.record, "metadata");
  if (!metadata.empty()) line("metadata", to_json_text(metadata));
  show_meters(page, style);
  show_overrides(page, style);
  show_grants(page, style);
  show_caps(page, style);
  show_holds(page, style);
}

void write(JsonWriter& out, const Page& page) {
  out.begin_object().field("customer", page.record).field("plan", page.plan);
  out.key("meters").begin_object();
  for (const Row& row : page.rows) {
    out.key(row.entitlement).begin_object();
    out.key("credit");
    row.credit.empty() ? out.null() : out.value(row.credit);
    out.key("mode");
    row.mode.empty() ? out.null() : out.value(row.mode);
    out.field("value", row.value)
        .field("limit", row.limit)
        .field("remaining", row.remaining)
        .field("held", row.held.value_or(0))
        .field("resets", row.resets)
        .field("own_limit", row.is_overridden)
        .field("in_plan", !row.is_unmapped)
        .end_object();
  }
  out.end_object().end_object();
}

}  // namespace

int show_customer(const CustomerOptions& options) {
  auto store = open_to_read(options.use);
  if (!store.ok()) return trouble(store.error().to_string());
  auto limitr = engine_of(*store, options.use, std::array{options.id});
  if (!limitr.ok()) return trouble(limitr.error().to_string());
  const Read<Page> page = page_of(*limitr, options.id);
  if (!page.ok()) return trouble(page.error().to_string());
  if (!page->has_value()) {
    trouble(fmt::format("there is no customer `{}`", options.id));
    return exit_negative;
  }
  if (options.json) {
    std::string json;
    JsonWriter out(json);
    write(out, **page);
    print("{}\n", json);
  } else {
    show(**page);
  }
  return exit_fine;
}

}  // namespace limitr::cli
