// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <limitr/json.h>
#include <limitr/time.h>

namespace limitr {

/// Something that happened. docs/events.md has every type and its payload.
///
/// `customer`, `caller` in the payload are the customer's identity (id, plan, type, label, refs,
/// alt_ids, metadata), in events about a customer the whole record; `plan` is {name, label};
/// `cap` is the cap's record; numbers outside of records are rounded to nine decimals.
struct Event {
  std::string type = {};      ///< "meter-changed", ..., or a notification's name.
  std::string customer = {};  ///< The ID of the customer it is about; empty for plan events.
  Timestamp at = {};
  std::string payload = {};  ///< JSON text of an object.

  Json json() const { return Json::parse(payload); }
};

/// Gets every event, in the order of each customer's changes, outside every lock: it may call the
/// engine. Runs on the thread whose call caused the event. What it throws is logged and keeps
/// neither the call nor other handlers from going on. A handler that waits for another thread's
/// call on the same customer waits for ever: that call's handlers wait for it.
using Handler = std::function<void(const Event&)>;

/// What a policy cannot say in data, by the names it uses. Costs and rates are asked for once per
/// call, before it is decided; notifications once per event; all outside every lock. One that
/// throws, or returns a number that is not finite, is logged and the policy's own figure is used.
/// See docs/events.md, Host functions.
struct HostFunctions {
  /// A credit's `overhead_fn`: units used and event data (null if none) to runes.
  std::map<std::string, std::function<double(double units, const Json& event_data)>> overhead = {};
  /// An exchange pair's `value_fn`: its rate now.
  std::map<std::string, std::function<double()>> rates = {};
  /// A notification's `fn`: whether the event matches.
  std::map<std::string, std::function<bool(const Event&)>> notifications = {};
};

}  // namespace limitr
