// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <limitr/limitr.h>

#include "base/symbols.h"
#include "manual_clock.h"
#include "state/customer.h"

// What must hold of customers and engines, whatever was read and asked.
namespace limitr::fuzz {

/// A moment that clocks start from: 2026-01-01.
inline constexpr std::int64_t start_ms = 1'767'225'600'000;

/// A table of names that serves many inputs, since making one takes longer than reading a record.
SymbolTable& shared_names();

/// Requires that a customer is written as text that reads as the same customer, and is then written
/// as the same text.
void require_record(const state::Customer& customer, SymbolTable& names);

/// Options for an engine that is told the time, and whose log nobody reads.
Options quiet_options(std::shared_ptr<const Clock> clock, Format format = Format::yaml);

/// The records of a snapshot by ID, each as the very text that stands there.
std::map<std::string, std::string> records_of(std::string_view snapshot);

/// Requires that customers() and export_state() load into `fresh`, an engine on the same policy
/// that has no customers, and that it then writes the same bytes for each.
void require_restorable(Limitr& limitr, Limitr& fresh);

/// Requires that every number of every meter is one, and that the books of grants balance.
void require_sound(Limitr& limitr);

}  // namespace limitr::fuzz
