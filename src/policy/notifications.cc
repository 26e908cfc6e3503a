// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "policy/document_reader.h"
#include "policy/sections.h"

namespace limitr::policy {
namespace {

// spec: events.md
constexpr std::array<std::string_view, 16> event_types = {
    "meter-changed",
    "meter-overage",
    "meter-limit",
    "meter-governed",
    "meter-reset",
    "cap-limit",
    "cap-threshold-crossed",
    "customer-cap-added",
    "customer-cap-reset",
    "customer-cap-removed",
    "customer-set",
    "customer-removed",
    "customer-plan-changed",
    "customer-topup-granted",
    "plan-set",
    "plan-removed",
};

bool is_event(std::string_view type) {
  return std::find(event_types.begin(), event_types.end(), type) != event_types.end();
}

void read_events(const Fields& fields, Notification& notification) {
  const auto list = fields.list("events");
  if (!list || list->node->as_sequence()->empty()) {
    fields.issues().warn(fields.at("events"),
                         "a notification that lists no events ('events' field) is never sent");
    return;
  }
  notification.events = fields.texts("events");
  const Node::Sequence& elements = *list->node->as_sequence();
  for (std::size_t i = 0; i < elements.size(); ++i) {
    const auto* type = elements[i].as_text();
    if (type == nullptr) continue;
    if (is_event(*type)) continue;
    fields.issues().breaks_rule(list->element(elements[i], i),
                                fmt::format("there is no event \"{}\" - only {}", shown(*type),
                                            fmt::join(event_types, ", ")));
  }
}

// An ID names one customer, whether it is its own or an alternate one.
void check_alternate_ids(const Fields& fields, TextMap<std::string_view>& owners) {
  (void)fields.texts("alt_ids");
  const auto list = fields.find("alt_ids");
  if (!list || list->node->as_sequence() == nullptr) return;
  const Node::Sequence& elements = *list->node->as_sequence();
  for (std::size_t i = 0; i < elements.size(); ++i) {
    const auto* alt = elements[i].as_text();
    if (alt == nullptr) continue;
    const std::string_view owner = owners.emplace(*alt, fields.place().key).first->second;
    if (owner == fields.place().key) continue;
    fields.issues().breaks_rule(
        list->element(elements[i], i),
        fmt::format("the ID \"{}\" belongs to customer \"{}\" already", shown(*alt), shown(owner)));
  }
}

}  // namespace

void Making::use_function(const std::string& name) {
  if (name.empty() || !functions.emplace(name, true).second) return;
  policy.host_functions.push_back(name);
}

void read_notifications(Making& making, const Place& section) {
  for_each_entry(section, making.issues, [&](const Place& place) {
    const Fields fields(place, making.issues);
    Notification notification;
    notification.name = place.key;
    if (is_event(place.key)) {
      making.issues.warn(place.at_key(),
                         fmt::format("\"{}\" is an event's own name: handlers cannot tell what "
                                     "this notification sends from the event",
                                     place.key));
    }
    read_events(fields, notification);
    notification.fn = fields.text_or("fn", "");
    making.use_function(notification.fn);
    notification.condition = fields.text_or("condition", "");
    if (!notification.condition.empty()) {
      making.issues.warn(fields.at("condition"),
                         "conditions are kept but not evaluated; use a host function ('fn' field)");
    }
    fields.warn_of_typos();
    making.policy.notifications.push_back(std::move(notification));
  });
}

void check_customers(Making& making, const Place& section) {
  TextMap<bool> plans;
  for (const Plan& plan : making.policy.plans) plans.emplace(making.policy.text(plan.name), true);
  const Node::Mapping& members = *section.node->as_mapping();
  TextMap<std::string_view> owners;  // Of IDs and of the alternate IDs met so far.
  for (const Node::Member& member : members) owners.emplace(member.key, member.key);
  for (std::size_t i = 0; i < members.size(); ++i) {
    const Place place = section.member(members[i], i);
    if (place.key.empty()) making.issues.wrong(place, "a customer ID cannot be empty");
    if (place.node->as_mapping() == nullptr) {
      Fields(section, making.issues).wrong_type(place, "a mapping");
      continue;
    }
    const Fields fields(place, making.issues);
    const auto id = fields.text("id");
    if (id && *id != place.key) {
      making.issues.breaks_rule(
          fields.at("id"),
          fmt::format("the customer's id \"{}\" is not the key that it stands under", shown(*id)));
    }
    for (const std::string_view key : {"type", "label"}) (void)fields.text(key);
    (void)fields.texts("refs");
    check_alternate_ids(fields, owners);
    (void)fields.mapping("metadata");
    const std::string plan = fields.text_or("plan", "");
    if (!plan.empty() && !plans.contains(plan)) {
      making.issues.breaks_rule(
          fields.at("plan"),
          fmt::format("A plan named \"{}\" does not exist in this policy", shown(plan)));
    }
    fields.warn_of_typos();
  }
}

}  // namespace limitr::policy
