// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <simdjson.h>

namespace limitr::bench {

/// Reads every number in a JSON text as a double, and nothing more: what loading the text costs
/// at the very least.
class JsonNumbers {
public:
  /// Gives each number to take(double); false where the text is no JSON. The text gets the
  /// padding that simdjson wants, if it has no room for it yet.
  template <typename Take>
  bool read(std::string& text, Take take) {
    text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    simdjson::ondemand::document document;
    simdjson::ondemand::value root;
    if (parser_.iterate(text.data(), text.size(), text.capacity()).get(document)) return false;
    return !document.get_value().get(root) && read_value(root, take);
  }

  /// The same for the values of an object's fields whose name starts with `prefix`; counts them.
  template <typename Take>
  bool read_fields(std::string& text, std::string_view prefix, std::size_t& fields, Take take) {
    text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    simdjson::ondemand::document document;
    simdjson::ondemand::object object;
    if (parser_.iterate(text.data(), text.size(), text.capacity()).get(document)) return false;
    if (document.get_object().get(object)) return false;
    for (auto field : object) {
      std::string_view key;
      simdjson::ondemand::value value;
      if (field.unescaped_key().get(key) || field.value().get(value)) return false;
      if (!key.starts_with(prefix)) continue;
      ++fields;
      if (!read_value(value, take)) return false;
    }
    return true;
  }

private:
  template <typename Take>
  bool read_value(simdjson::ondemand::value value, Take& take) {
    using simdjson::ondemand::json_type;
    json_type type{};
    if (value.type().get(type)) return false;
    if (type == json_type::number) {
      double number = 0;
      if (value.get_double().get(number)) return false;
      take(number);
    } else if (type == json_type::array) {
      simdjson::ondemand::array array;
      if (value.get_array().get(array)) return false;
      for (auto element : array) {
        simdjson::ondemand::value inner;
        if (element.get(inner) || !read_value(inner, take)) return false;
      }
    } else if (type == json_type::object) {
      simdjson::ondemand::object object;
      if (value.get_object().get(object)) return false;
      for (auto field : object) {
        simdjson::ondemand::value inner;
        if (field.value().get(inner) || !read_value(inner, take)) return false;
      }
    }
    return true;
  }

  simdjson::ondemand::parser parser_;
};

}  // namespace limitr::bench
