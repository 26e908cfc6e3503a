// SPDX-License-Identifier: Apache-2.0
#include "store/redis/intent.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "store/checksum.h"
#include "store/redis/calls.h"
#include "store/redis/rows.h"

namespace limitr::store::redis {
namespace {

std::uint64_t sum_over(std::uint64_t group, std::uint64_t slot, std::uint64_t count,
                       std::string_view arguments) {
  return Checksum().add(group).add(slot).add(count).add(arguments).value();
}

/// The text before that mark, from the front of `text`, which both are taken off.
std::string_view take_until(std::string_view& text, char mark) {
  const std::size_t end = text.find(mark);
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return word;
}

}  // namespace

std::map<Slot, Command> parts_of(const Group& group) {
  struct Part {
    std::vector<std::pair<std::string_view, const CustomerWrite*>> alts;  // that lead elsewhere
    std::vector<const CustomerWrite*> customers;
  };
  std::map<Slot, Part> parts;
  for (const CustomerWrite& write : group.customers) {
    const Slot home = slot_of(write.id);
    parts[home].customers.push_back(&write);
    for (const std::string& alt : write.alt_ids) {
      if (const Slot slot = slot_of(alt); slot != home) parts[slot].alts.emplace_back(alt, &write);
    }
  }
  std::map<Slot, Command> commands;
  for (const auto& [slot, part] : parts) {
    Command& command = commands[slot];
    command.add(group.number).add(std::uint64_t{part.alts.size()});
    for (const auto& [alt, write] : part.alts) command.add(alt).add(alt_row(alt, write->id));
    for (const CustomerWrite* write : part.customers) {
      add_customer(command, *write, /*is_in_cluster=*/true, std::nullopt);
    }
  }
  return commands;
}

std::string intent_of(Slot slot, std::uint64_t group, const Command& part) {
  const std::uint64_t sum = sum_over(group, slot, part.count(), part.encoded());
  return fmt::format("{:016x} {} {}\n{}", sum, slot, part.count(), part.encoded());
}

Result<Intent> read_intent(const Value& list, const std::string& place) {
  const Error damaged = {
      .code = ErrorCode::data_corrupt,
      .message = fmt::format("the key `intent` at `{}` is not what was written, and a group may be "
                             "applied in part: restore a backup",
                             place)};
  Intent intent;
  if (list.size() == 0) return list.is_list() ? Result<Intent>(std::move(intent)) : damaged;
  const auto group = to_number(list[0].text());
  if (!group || *group == 0) return damaged;
  intent.group = *group;
  for (std::size_t i = 1; i < list.size(); ++i) {
    std::string_view text = list[i].text();
    const auto sum = to_number(take_until(text, ' '), 16);
    const auto slot = to_number(take_until(text, ' '));
    const auto count = to_number(take_until(text, '\n'));
    if (!sum || !slot || *slot >= slot_count || !count) return damaged;
    if (sum_over(*group, *slot, *count, text) != *sum) return damaged;
    intent.parts[static_cast<Slot>(*slot)].add_encoded(*count, text);
  }
  return intent;
}

}  // namespace limitr::store::redis
