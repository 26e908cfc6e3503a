// SPDX-License-Identifier: Apache-2.0
#include "call/options.h"

#include <array>
#include <cmath>
#include <span>
#include <utility>

#include <fmt/format.h>

namespace limitr::call {
namespace {

using policy::Node;

constexpr std::array bound_fields = {
    Parameter{"max_bytes", Kind::number}, Parameter{"max_nodes", Kind::number},
    Parameter{"max_depth", Kind::number}, Parameter{"max_alias_factor", Kind::number}};

constexpr std::array option_fields = {
    Parameter{"format", Kind::text},           Parameter{"validate", Kind::flag},
    Parameter{"bounds", Kind::data},           Parameter{"store", Kind::text},
    Parameter{"shared", Kind::flag},           Parameter{"durability", Kind::text},
    Parameter{"write_interval", Kind::number}, Parameter{"max_unwritten", Kind::number},
    Parameter{"store_timeout", Kind::number},  Parameter{"accept_weaker", Kind::flag},
    Parameter{"max_loaded", Kind::number},     Parameter{"load_all", Kind::flag}};

constexpr std::array cloud_fields = {Parameter{"token", Kind::text},
                                     Parameter{"address", Kind::text},
                                     Parameter{"policy", Kind::text},
                                     Parameter{"connect_timeout", Kind::number},
                                     Parameter{"deny_unconnected", Kind::flag},
                                     Parameter{"room", Kind::number},
                                     Parameter{"ca_file", Kind::text},
                                     Parameter{"local_file", Kind::text},
                                     Parameter{"validate", Kind::flag},
                                     Parameter{"bounds", Kind::data},
                                     Parameter{"store_timeout", Kind::number},
                                     Parameter{"max_unwritten", Kind::number},
                                     Parameter{"max_loaded", Kind::number}};

// What of the options is a count, or a time in milliseconds.
constexpr std::array counts = {std::string_view("write_interval"),
                               std::string_view("max_unwritten"), std::string_view("store_timeout"),
                               std::string_view("max_loaded"), std::string_view("connect_timeout")};

bool is_count(double number) {
  constexpr double most = 9007199254740992;  // 2^53: below it every whole number is exact.
  return number >= 0 && number <= most && number == std::trunc(number);
}

std::optional<FormatProblem> check_count(const Node& number, const std::string& path) {
  if (number.is_null() || is_count(*number.as_number())) return std::nullopt;
  return FormatProblem{number.position, path, "expected a whole number"};
}

template <typename T>
void read_count(const Arguments& fields, std::string_view name, T& into) {
  if (const auto number = fields.maybe_number(name)) into = static_cast<T>(*number);
}

void read_time(const Arguments& fields, std::string_view name, Millis& into) {
  if (const auto ms = fields.maybe_number(name)) into = Millis(static_cast<std::int64_t>(*ms));
}

std::optional<FormatProblem> check_options(const Node& options,
                                           std::span<const Parameter> parameters) {
  if (!options.as_mapping())
    return FormatProblem{options.position, "options",
                         fmt::format("expected a mapping, found {}", options.kind_name())};
  if (auto found = check_arguments(options.as_mapping(), parameters, options.position, "options"))
    return found;
  for (const std::string_view name : counts) {
    const Node* number = options.find(name);
    if (number == nullptr) continue;
    if (auto found = check_count(*number, fmt::format("options.{}", name))) return found;
  }
  const Node* bounds = options.find("bounds");
  if (!bounds || bounds->is_null()) return std::nullopt;
  return check_bounds(*bounds, "options.bounds");
}

std::optional<FormatProblem> check_room(const Node& options) {
  const Node* room = options.find("room");
  if (!room || room->is_null() || (*room->as_number() >= 0 && *room->as_number() <= 1))
    return std::nullopt;
  return FormatProblem{room->position, "options.room",
                       "expected a share of the limit, from 0 to 1"};
}

Error error_of(FormatProblem problem) {
  return {.code = ErrorCode::invalid_argument,
          .message = std::move(problem.message),
          .where = std::move(problem.path)};
}

Result<Durability> durability_from(std::string_view name) {
  if (name == "sync") return Durability::sync;
  if (name == "interval") return Durability::interval;
  if (name == "manual") return Durability::manual;
  return Error{.code = ErrorCode::invalid_argument,
               .message = fmt::format("unknown durability `{}`: sync, interval or manual", name),
               .where = "options.durability"};
}

}  // namespace

Result<Format> format_from(std::string_view name) {
  if (name == "yaml") return Format::yaml;
  if (name == "json") return Format::json;
  if (name == "toml") return Format::toml;
  return Error{.code = ErrorCode::invalid_argument,
               .message = fmt::format("unknown format `{}`: yaml, json or toml", name),
               .where = "format"};
}

std::optional<FormatProblem> check_bounds(const Node& bounds, const std::string& path) {
  if (!bounds.as_mapping())
    return FormatProblem{bounds.position, path,
                         fmt::format("expected a mapping, found {}", bounds.kind_name())};
  if (auto found = check_arguments(bounds.as_mapping(), bound_fields, bounds.position, path))
    return found;
  for (const auto& [name, position, number] : *bounds.as_mapping())
    if (auto found = check_count(number, fmt::format("{}.{}", path, name))) return found;
  return std::nullopt;
}

void read_bounds(const Node* bounds, DocumentBounds& into) {
  const Arguments fields(bounds ? bounds->as_mapping() : nullptr, Timestamp{});
  read_count(fields, "max_bytes", into.max_bytes);
  read_count(fields, "max_nodes", into.max_nodes);
  read_count(fields, "max_depth", into.max_depth);
  read_count(fields, "max_alias_factor", into.max_alias_factor);
}

Result<Options> engine_options(const Node& options) {
  if (auto problem = check_options(options, option_fields)) return error_of(*std::move(problem));
  const Arguments fields(options.as_mapping(), Timestamp{});
  Options made;
  const auto format = format_from(fields.text("format", "yaml"));
  if (!format.ok()) return format.error();
  const auto durability = durability_from(fields.text("durability", "sync"));
  if (!durability.ok()) return durability.error();
  made.format = *format;
  made.durability = *durability;
  made.validate = fields.flag("validate", made.validate);
  read_bounds(fields.find("bounds"), made.bounds);
  made.store = std::string(fields.text("store"));
  made.shared = fields.flag("shared");
  made.accept_weaker = fields.flag("accept_weaker");
  made.load_all = fields.flag("load_all");
  read_count(fields, "max_unwritten", made.max_unwritten);
  read_count(fields, "max_loaded", made.max_loaded);
  read_time(fields, "write_interval", made.write_interval);
  read_time(fields, "store_timeout", made.store_timeout);
  return made;
}

Result<CloudOptions> cloud_options(const Node& options) {
  if (auto problem = check_options(options, cloud_fields)) return error_of(*std::move(problem));
  if (auto problem = check_room(options)) return error_of(*std::move(problem));
  const Arguments fields(options.as_mapping(), Timestamp{});
  CloudOptions made;
  made.token = std::string(fields.text("token"));
  made.address = std::string(fields.text("address", made.address));
  made.policy = std::string(fields.text("policy"));
  read_time(fields, "connect_timeout", made.connect_timeout);
  made.deny_unconnected = fields.flag("deny_unconnected", made.deny_unconnected);
  made.room = fields.number("room", made.room);
  made.ca_file = std::string(fields.text("ca_file"));
  made.local_file = std::string(fields.text("local_file"));
  made.engine.validate = fields.flag("validate", made.engine.validate);
  read_bounds(fields.find("bounds"), made.engine.bounds);
  read_time(fields, "store_timeout", made.engine.store_timeout);
  read_count(fields, "max_unwritten", made.engine.max_unwritten);
  read_count(fields, "max_loaded", made.engine.max_loaded);
  return made;
}

}  // namespace limitr::call
