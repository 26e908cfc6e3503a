// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "fuzz.h"
#include "store/checksum.h"
#include "store/file/document.h"
#include "store/file/journal.h"

// The input: a letter, and behind it what the files of a store could hold.
//
//   d  the JSON, as it stands
//   s  the same; its last line is a body, and gets the sum that makes it one
//   j  a journal, as it stands
//   g  groups to be written to a journal, then bytes of it that a disk changes
//
// 1. Reading ends in contents, or in an error that says why, whatever the bytes.
// 2. What is read is written as a JSON that reads as the same, without damage being found, and is
//    written again to the same bytes.
// 3. A journal that is whole gives what was written. Of one that is not, a record that is given
//    without a word is one that was written for its customer.
namespace limitr::fuzz {
namespace {

using store::CustomerWrite;
using store::Group;
using store::file::Contents;

constexpr std::string_view path = "state.json";
constexpr std::uint64_t seal = 7;

void require_error(const Error& error) {
  require(error.code == ErrorCode::data_corrupt || error.code == ErrorCode::invalid_argument,
          "files are refused as such");
  require(!error.message.empty(), "a refusal says why");
}

void require_same(const Contents& a, const Contents& b) {
  require(a.customers().size() == b.customers().size() && a.requests() == b.requests() &&
              a.last_group == b.last_group && a.epoch == b.epoch,
          "what is written reads as the same");
  for (const auto& [id, kept] : a.customers()) {
    const auto found = b.customers().find(id);
    require(found != b.customers().end() && found->second->version == kept->version &&
                found->second->record == kept->record && found->second->damage == kept->damage &&
                found->second->requests.size() == kept->requests.size(),
            "a customer reads as the same", id);
  }
}

void read_document(std::string_view text) {
  const auto read = store::file::read_document(text, std::string(path), "kept-");
  if (!read.ok()) return require_error(read.error());
  const std::string written = store::file::to_document(read->contents).text;
  const auto again = store::file::read_document(written, std::string(path), "kept-");
  require(again.ok() && again->is_sealed, "what is written can be read", written);
  require(again->damage.empty(), "what is written is not damaged", written);
  require_same(read->contents, again->contents);
  require(store::file::to_document(again->contents).text == written, "a state has one form");
}

void read_sealed(std::string_view text) {
  const std::size_t line = text.rfind('\n') + 1;
  const std::string_view body = text.substr(line);
  const std::uint64_t sum = store::Checksum().add(body).value();
  read_document(fmt::format("{}\"store\":{{\"sum\":\"{:016x}\",\"body\":{}}}}}\n",
                            text.substr(0, line), sum, body));
}

void read_journal(std::string_view journal) {
  (void)store::file::read_header(journal);
  Contents contents;
  const auto damage = store::file::replay(journal, std::string(path), "kept", seal, contents);
  if (!damage.ok()) require_error(damage.error());
}

// A line is a customer's ID, a space and the record, or the ID alone where it is removed; an empty
// line ends a group.
std::vector<Group> groups_of(std::string_view text) {
  std::vector<Group> groups(1);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty()) {
      groups.emplace_back();
      continue;
    }
    const std::size_t space = line.find(' ');
    CustomerWrite write;
    write.id = line.substr(0, space);
    if (space != std::string_view::npos) {
      write.record = line.substr(space + 1);
      write.alt_ids = {"alt " + write.id};
      write.new_requests = {{.number = groups.size(), .id = "r", .answer = "true", .at = {}}};
    }
    groups.back().customers.push_back(std::move(write));
  }
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i].number = i + 1;
  return groups;
}

std::string journal_of(const std::vector<Group>& groups) {
  std::string journal = store::file::to_bytes({.generation = 1, .seal = seal});
  for (const Group& group : groups) {
    journal += store::file::to_frame(group, seal, journal.size());
  }
  return journal;
}

// Three bytes a change: where, and what is turned over there. False: nothing has changed.
bool change(std::string& journal, std::string_view changes) {
  const std::string whole = journal;
  for (; changes.size() >= 3; changes.remove_prefix(3)) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(changes[i]); };
    char& changed = journal[(byte(0) * 256U + byte(1)) % journal.size()];
    changed = static_cast<char>(changed ^ changes[2]);
  }
  return journal != whole;
}

void write_and_read_journal(std::string_view text) {
  constexpr std::string_view divider = "\n!\n";
  const std::size_t end = text.find(divider);
  const std::vector<Group> groups = groups_of(text.substr(0, end));
  std::string journal = journal_of(groups);
  const bool is_changed =
      end != std::string_view::npos && change(journal, text.substr(end + divider.size()));
  Contents read;
  const auto damage = store::file::replay(journal, std::string(path), "", seal, read);
  if (!is_changed) {
    Contents expected;
    for (const Group& group : groups) expected.apply(group);
    require(damage.ok() && damage->empty(), "a journal that is whole can be read");
    require_same(expected, read);
    return;
  }
  if (!damage.ok()) return require_error(damage.error());
  std::map<std::string, std::set<std::string>> written;
  for (const Group& group : groups) {
    for (const CustomerWrite& write : group.customers) {
      if (write.record) written[write.id].insert(*write.record);
    }
  }
  for (const auto& [id, kept] : read.customers()) {
    require(kept->damage || written[id].contains(kept->record),
            "a record that is given was written for its customer", id);
  }
}

void read_files(std::string_view text) {
  if (text.empty()) return;
  const std::string_view rest = text.substr(1);
  switch (text.front()) {
    case 'd': return read_document(rest);
    case 's': return read_sealed(rest);
    case 'j': return read_journal(rest);
    case 'g': return write_and_read_journal(rest);
    default: return;
  }
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  limitr::fuzz::read_files(limitr::fuzz::text_of(data, size));
  return 0;
}
