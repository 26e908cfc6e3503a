// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/symbols.h"

namespace limitr::state {

/// A symbol table for one who reads many records: they name the same few entitlements, credits and
/// plans again and again, and those it remembers cost neither the table's lock nor its hash.
class NameCache {
public:
  explicit NameCache(SymbolTable& names) : names_(names) {}

  Symbol intern(std::string_view name) {
    if (name.empty()) return Symbol::empty;
    Known& known = known_[place_of(name)];
    if (known.name != name) {
      known.symbol = names_.intern(name);
      known.name = names_.text(known.symbol);  // Stays where it is, unlike what was given.
    }
    return known.symbol;
  }
  std::string_view text(Symbol symbol) const { return names_.text(symbol); }

private:
  struct Known {
    std::string_view name;
    Symbol symbol = Symbol::empty;
  };
  static constexpr std::size_t places = 512;

  // Where two names meet, the later one is remembered.
  static std::size_t place_of(std::string_view name) {
    const auto byte = [&](std::size_t at) -> std::size_t {
      return static_cast<unsigned char>(name[at]);
    };
    const std::size_t mixed =
        name.size() * 31 + byte(0) * 7 + byte(name.size() / 2) * 131 + byte(name.size() - 1) * 1031;
    return mixed % places;
  }

  SymbolTable& names_;
  std::array<Known, places> known_ = {};
};

}  // namespace limitr::state
