// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include <limitr/json.h>
#include <limitr/policy.h>

// Options that several commands have, each read and explained the same everywhere.
namespace limitr::cli {

/// A command's examples, as the parser wants them.
std::string footer_text(std::string_view examples);

/// An option whose value `read` takes, or says what is wrong with it.
CLI::Option* add_read_option(CLI::App& command, const std::string& name, const std::string& what,
                             const std::function<std::string(const std::string&)>& read);

/// A finite number.
CLI::Option* add_number(CLI::App& command, const std::string& name, std::optional<double>& number,
                        const std::string& what);

/// A JSON object.
CLI::Option* add_object(CLI::App& command, const std::string& name, std::optional<Json>& object,
                        const std::string& what);

/// The number that a text is: digits, and nothing else.
std::optional<std::uint64_t> whole_number(std::string_view written);

void add_format(CLI::App& command, std::optional<Format>& format);
void add_bounds(CLI::App& command, DocumentBounds& bounds);

/// A file's name: it cannot be empty, and to leave the option away says more.
const CLI::Validator& is_named();

}  // namespace limitr::cli
