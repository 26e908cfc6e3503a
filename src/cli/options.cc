// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <charconv>
#include <system_error>

#include <fmt/format.h>

#include "base/quantity.h"

namespace limitr::cli {

std::string footer_text(std::string_view examples) {
  // The parser adds the empty line in front by itself.
  return std::string(examples.substr(1, examples.size() - 2));
}

CLI::Option* add_read_option(CLI::App& command, const std::string& name, const std::string& what,
                             const std::function<std::string(const std::string&)>& read) {
  return command.add_option_function<std::string>(
      name,
      [name, read](const std::string& written) {
        const std::string problem = read(written);
        // This is how the parser learns of it; the program catches it.
        if (!problem.empty()) throw CLI::ValidationError(name, problem);
      },
      what);
}

CLI::Option* add_number(CLI::App& command, const std::string& name, std::optional<double>& number,
                        const std::string& what) {
  return add_read_option(command, name, what,
                         [&number](const std::string& written) -> std::string {
                           const Result<double> read = quantity(std::string_view(written), Unit());
                           if (!read.ok()) return read.error().message;
                           number = *read;
                           return {};
                         })
      ->type_name("NUMBER");
}

CLI::Option* add_object(CLI::App& command, const std::string& name, std::optional<Json>& object,
                        const std::string& what) {
  return add_read_option(command, name, what,
                         [&object](const std::string& written) -> std::string {
                           object = Json::parse(written, nullptr, /*allow_exceptions=*/false);
                           return object->is_object() ? "" : "it is no JSON object";
                         })
      ->type_name("JSON");
}

std::optional<std::uint64_t> whole_number(std::string_view written) {
  std::uint64_t number = 0;
  const char* last = written.data() + written.size();
  const auto [end, failed] = std::from_chars(written.data(), last, number);
  return failed == std::errc() && end == last ? std::optional(number) : std::nullopt;
}

void add_format(CLI::App& command, std::optional<Format>& format) {
  add_read_option(command, "--format", "Of the policy; else by the file's ending, YAML for -",
                  [&format](const std::string& name) -> std::string {
                    if (name == "yaml") format = Format::yaml;
                    if (name == "json") format = Format::json;
                    if (name == "toml") format = Format::toml;
                    if (format) return {};
                    return fmt::format("there is no format `{}`: yaml, json or toml", name);
                  })
      ->type_name("yaml|json|toml");
}

void add_bounds(CLI::App& command, DocumentBounds& bounds) {
  constexpr std::size_t no_limit = std::size_t{1} << 53U;
  const auto add = [&](const char* name, std::size_t& bound, std::size_t most, const char* what) {
    add_read_option(command, name, fmt::format("{} (default {})", what, bound),
                    [&bound, most](const std::string& written) -> std::string {
                      const auto number = whole_number(written);
                      if (number && *number <= most) {
                        bound = *number;
                        return {};
                      }
                      return fmt::format("`{}` is no whole number from 0 to {}", written, most);
                    })
        ->type_name("N");
  };
  add("--max-bytes", bounds.max_bytes, no_limit, "Refuse a document that is larger");
  add("--max-nodes", bounds.max_nodes, no_limit, "Refuse one of more values");
  add("--max-depth", bounds.max_depth, DocumentBounds::deepest, "Refuse one that is nested deeper");
  add("--max-alias-factor", bounds.max_alias_factor, no_limit,
      "Refuse one whose aliases add more than this per value written");
}

const CLI::Validator& is_named() {
  static const CLI::Validator validator(
      [](const std::string& name) -> std::string {
        return name.empty() ? "the name of a file is empty" : "";
      },
      "");
  return validator;
}

}  // namespace limitr::cli
