// SPDX-License-Identifier: Apache-2.0
#include "base/limit.h"

#include <array>

namespace limitr {
namespace {

constexpr std::array<std::string_view, 3> mode_names = {"hard", "soft", "observe"};
constexpr std::array<std::string_view, 3> reset_mode_names = {"hard", "add", "rollover"};

template <typename Enum>
std::optional<Enum> find(const std::array<std::string_view, 3>& names, std::string_view name) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace

Result<double> Limit::increment_in(Unit unit) const {
  return increment_text.empty() ? quantity(Value(increment), unit)
                                : quantity(std::string_view(increment_text), unit);
}

std::string_view to_string(Mode mode) { return mode_names[static_cast<std::size_t>(mode)]; }
std::string_view to_string(ResetMode mode) {
  return reset_mode_names[static_cast<std::size_t>(mode)];
}
std::optional<Mode> mode_from(std::string_view name) { return find<Mode>(mode_names, name); }
std::optional<ResetMode> reset_mode_from(std::string_view name) {
  return find<ResetMode>(reset_mode_names, name);
}

}  // namespace limitr
