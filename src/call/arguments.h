// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/json.h>
#include <limitr/options.h>
#include <limitr/result.h>
#include <limitr/time.h>
#include <limitr/value.h>
#include "policy/document.h"

// The arguments of a call that is made by its name, checked before it is made.
namespace limitr::call {

/// What an argument may be.
enum class Kind : std::uint8_t {
  text,
  number,
  quantity,  ///< A number, or text with a unit.
  flag,
  moment,
  texts,     ///< A list of text.
  data,      ///< A mapping, or JSON text.
  event,     ///< True, false, or data.
  caps,      ///< A cap, a map of credit to ceiling, or a list of either.
  document,  ///< A mapping, or text that stands for one.
  records,   ///< A mapping, a list, or text that stands for one.
  usage,     ///< A map of entitlement to imagined usage.
  calls,     ///< A list of allow's arguments.
};

struct Parameter {
  std::string_view name;
  Kind kind;
  bool is_required = false;
};

/// A place in a document that does not follow its format.
struct FormatProblem {
  policy::Position position;
  std::string path;
  std::string message;
};

/// Checks arguments against the parameters they are for. `given` may be null: none.
std::optional<FormatProblem> check_arguments(const policy::Node::Mapping* given,
                                             std::span<const Parameter> parameters,
                                             policy::Position position, const std::string& path);

/// Reads arguments that check_arguments() found good. Text and quantities point into the document.
/// An argument that is null counts as not given.
class Arguments {
public:
  /// `now` is what relative times count from.
  Arguments(const policy::Node::Mapping* given, Timestamp now) : given_(given), now_(now) {}

  /// Null where the argument is not given.
  const policy::Node* find(std::string_view name) const;

  std::string_view text(std::string_view name, std::string_view otherwise = {}) const;
  std::optional<std::string> maybe_text(std::string_view name) const;
  double number(std::string_view name, double otherwise) const;
  std::optional<double> maybe_number(std::string_view name) const;
  Value quantity(std::string_view name, Value otherwise = 0) const;
  std::optional<Value> maybe_quantity(std::string_view name) const;
  bool flag(std::string_view name, bool otherwise = false) const;
  std::optional<bool> maybe_flag(std::string_view name) const;
  std::optional<Timestamp> moment(std::string_view name) const;
  std::optional<std::vector<std::string>> texts(std::string_view name) const;
  /// Data that is text is read as JSON; what cannot be read is handed on as text, for the engine
  /// to refuse. Empty text is no data.
  std::optional<Json> data(std::string_view name) const;
  std::vector<CallCap> caps(std::string_view name) const;
  Timestamp now() const { return now_; }
  /// All of them; null: none.
  const policy::Node::Mapping* mapping() const { return given_; }

private:
  const policy::Node::Mapping* given_;
  Timestamp now_;
};

/// Caps as JSON: a cap, a map of credit to ceiling, or a list. Errors: invalid_argument.
Result<std::vector<CallCap>> caps_from(std::string_view json);

/// "text", "number", ...: the kind's name in limitr_calls() of the C interface.
std::string_view kind_name(Kind kind);

/// What a change says besides what it changes.
ChangeOptions change_options(const Arguments& arguments);

/// A quantity as the engine takes it. REQUIRES: a number or text.
Value value_of(const policy::Node& node);

}  // namespace limitr::call
