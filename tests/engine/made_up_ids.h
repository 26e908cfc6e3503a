// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <limitr/json.h>

namespace limitr {

/// IDs that an engine makes up are its own: they are told by the order in which they are seen.
class MadeUpIds {
public:
  /// That JSON as text, with a number in the place of each such ID.
  std::string told(const Json& json) {
    Json made = sorted(json);
    name(made);
    return made.dump();
  }

private:
  // How long the ID is that begins there; 0: none does.
  static std::size_t length_at(const std::string& text, std::size_t at) {
    constexpr std::size_t digits = 16;
    const auto digits_end = [&](std::size_t from) {
      return std::min(text.find_first_not_of("0123456789abcdef", from), text.size());
    };
    const std::size_t dash = digits_end(at);
    if (dash != at + digits || dash == text.size() || text[dash] != '-') return 0;
    const std::size_t end = digits_end(dash + 1);
    return end == dash + 1 ? 0 : end - at;
  }
  static bool is_made_up(const std::string& text) {
    return !text.empty() && length_at(text, 0) == text.size();
  }

  void name(Json& json) {
    if (json.is_structured()) {
      for (Json& inner : json) name(inner);
    } else if (json.is_string()) {
      std::string& text = json.get_ref<std::string&>();
      for (std::size_t at = 0; at < text.size(); ++at) {
        const std::size_t length = length_at(text, at);
        if (length == 0) continue;
        const auto known = numbers_.try_emplace(text.substr(at, length), numbers_.size()).first;
        text.replace(at, length, "#" + std::to_string(known->second));
      }
    }
  }

  // What is listed by such IDs comes in the order of what they are, not of what they read.
  Json sorted(const Json& json) const {
    if (!json.is_structured()) return json;
    Json made = json.is_array() ? Json::array() : Json::object();
    std::vector<std::tuple<std::size_t, double, std::string, Json>> listed;
    for (const auto& [key, value] : json.items()) {
      Json inner = sorted(value);
      if (json.is_array()) {
        made.push_back(std::move(inner));
      } else if (!is_made_up(key)) {
        made[key] = std::move(inner);
      } else {
        const auto known = numbers_.find(key);
        const std::size_t number =
            known == numbers_.end() ? std::numeric_limits<std::size_t>::max() : known->second;
        const double seq = inner.value("seq", 0.0);
        inner["key"] = key;
        listed.emplace_back(number, seq, blank(inner).dump(), std::move(inner));
      }
    }
    if (listed.empty()) return made;
    std::sort(listed.begin(), listed.end());
    for (auto& [number, seq, text, one] : listed) made["made up"].push_back(std::move(one));
    return made;
  }

  static Json blank(Json json) {
    if (json.is_structured()) {
      for (Json& inner : json) inner = blank(inner);
    } else if (json.is_string() && is_made_up(json.get_ref<const std::string&>())) {
      json = "#";
    }
    return json;
  }

  std::map<std::string, std::size_t> numbers_;
};

}  // namespace limitr
