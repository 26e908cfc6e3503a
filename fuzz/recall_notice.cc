// SPDX-License-Identifier: Apache-2.0
#include "server/recall_notice.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "fuzz.h"

// The input: notices as they come from other servers, a line each.
//
// 1. Whatever comes, a whole recall that follows is understood.
// 2. A recall is sent in notices that PostgreSQL takes: text of less than 8000 bytes.
// 3. What was understood is sent so that it is understood the same.
namespace limitr::fuzz {
namespace {

using server::PeerRecall;
using server::RecallNotices;

bool is_same(const PeerRecall& a, const PeerRecall& b) {
  return a.project == b.project && a.homes.engine == b.homes.engine && a.homes.ids == b.homes.ids;
}

void require_sent(const PeerRecall& recall, std::size_t number, RecallNotices& notices) {
  const std::vector<std::string> pieces = server::notices_of(recall, number);
  require(!pieces.empty(), "a recall is sent");
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    require(pieces[i].size() < 8000, "a notice is small enough");
    require(is_utf8(pieces[i]), "a notice is text");
    const std::optional<PeerRecall> taken = notices.add(pieces[i]);
    require(taken.has_value() == (i + 1 == pieces.size()), "it is whole with its last piece");
    if (taken) require(is_same(*taken, recall), "a recall arrives as it is");
  }
}

void read_notices(std::string_view text) {
  RecallNotices notices;
  std::vector<PeerRecall> understood;
  PeerRecall all = {.project = "default", .homes = {.engine = "e", .ids = {}}};
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (auto recall = notices.add(line)) understood.push_back(*std::move(recall));
    if (is_utf8(line)) all.homes.ids.emplace_back(line);
  }
  require_sent(all, text.size(), notices);
  // Large enough for several pieces.
  const std::size_t times = text.empty() ? 0 : 20'000 / text.size();
  const std::vector<std::string> once = all.homes.ids;
  for (std::size_t i = 0; i < times; ++i) {
    all.homes.ids.insert(all.homes.ids.end(), once.begin(), once.end());
  }
  require_sent(all, 7, notices);
  for (const PeerRecall& recall : understood) require_sent(recall, 0, notices);
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  limitr::fuzz::read_notices(limitr::fuzz::text_of(data, size));
  return 0;
}
