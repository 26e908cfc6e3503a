// SPDX-License-Identifier: Apache-2.0
#include "server/recent_rows.h"

#include <algorithm>
#include <span>
#include <utility>

#include "wire/messages.h"

namespace limitr::server {
namespace {

// Who does not write a row any more need not know of it.
constexpr int most_told = 4;
constexpr std::size_t most_changed_bytes = 256U << 10U;

}  // namespace

RecentRows::Entry* RecentRows::entry(std::string_view id) {
  if (const auto found = young_.find(id); found != young_.end()) return &found->second;
  const auto found = old_.find(id);
  if (found == old_.end()) return nullptr;
  Entry moved = std::move(found->second);
  old_.erase(found);
  young_bytes_ += wire::size_of(*moved.row);
  return &young_.insert_or_assign(std::string(id), std::move(moved)).first->second;
}

RecentRows::Row RecentRows::find(std::string_view id) {
  const Entry* found = entry(id);
  return found == nullptr ? nullptr : found->row;
}

void RecentRows::put(Row row) {
  if (Entry* found = entry(row->id)) {
    young_bytes_ -= wire::size_of(*found->row);
    young_bytes_ += wire::size_of(*row);
    found->row = std::move(row);
  } else {
    young_bytes_ += wire::size_of(*row);
    std::string id = row->id;
    young_.try_emplace(std::move(id), Entry{.row = std::move(row)});
  }
  if (young_bytes_ <= max_bytes / 2) return;
  old_ = std::exchange(young_, {});
  young_bytes_ = 0;
}

void RecentRows::erase(std::string_view id) {
  if (const Entry* found = entry(id)) {
    young_bytes_ -= wire::size_of(*found->row);
    young_.erase(id);
  }
}

void RecentRows::clear() {
  young_.clear();
  old_.clear();
  young_bytes_ = 0;
  changed_for_.clear();
}

void RecentRows::wrote(SessionId engine, std::string_view id) {
  Entry* const found = entry(id);
  if (found == nullptr) return;
  auto& writers = found->writers;
  auto place = std::ranges::find(writers, engine, &Writer::engine);
  if (place == writers.end()) --place;  // The oldest is forgotten.
  std::rotate(writers.begin(), place, place + 1);
  writers.front() = {.engine = engine};
  for (const Writer& other : std::span(writers).subspan(1)) {
    if (other.engine != 0 && other.told < most_told) changed_for_[other.engine].emplace(id);
  }
}

void RecentRows::told(SessionId engine, std::string_view id) {
  const auto found = changed_for_.find(engine);
  if (found == changed_for_.end()) return;
  const auto row = found->second.find(id);
  if (row != found->second.end()) found->second.erase(row);
}

std::vector<ChangedFor> RecentRows::take_changed() {
  std::vector<ChangedFor> all;
  for (const auto& [engine, ids] : std::exchange(changed_for_, {})) {
    ChangedFor changed{.engine = engine, .rows = {}};
    std::size_t bytes = 0;
    for (const std::string& id : ids) {
      Entry* const one = entry(id);
      if (one == nullptr || one->writers.front().engine == engine) continue;
      bytes += wire::size_of(*one->row);
      if (changed.rows.size() >= most_changed || bytes > most_changed_bytes) break;
      changed.rows.push_back(*one->row);
      const auto writer = std::ranges::find(one->writers, engine, &Writer::engine);
      if (writer != one->writers.end()) ++writer->told;
    }
    if (!changed.rows.empty()) all.push_back(std::move(changed));
  }
  return all;
}

}  // namespace limitr::server
