// SPDX-License-Identifier: Apache-2.0
#include "server/recall_notice.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"

namespace limitr::server {
namespace {

constexpr std::size_t piece_bytes = 7'900;
// A message of an engine is not larger.
constexpr std::size_t recall_bytes_max = std::size_t{16} << 20U;

struct PieceHead {
  std::size_t recall = 0;
  std::size_t piece = 0;
  std::size_t pieces = 0;
};

/// Of "3.0/2".
std::optional<PieceHead> read_head(std::string_view text) {
  PieceHead head;
  const auto take = [&](std::size_t& value, std::string_view divider) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (divider.empty()) return text.empty();
    if (!text.starts_with(divider)) return false;
    text.remove_prefix(divider.size());
    return true;
  };
  if (!take(head.recall, ".") || !take(head.piece, "/") || !take(head.pieces, "")) {
    return std::nullopt;
  }
  return head;
}

std::optional<std::string> take_text(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::optional<PeerRecall> read_recall(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  auto project = take_text(json, "project");
  auto engine = take_text(json, "engine");
  const auto ids = json.find("ids");
  if (!project || !engine || ids == json.end() || !ids->is_array()) return std::nullopt;
  PeerRecall recall = {.project = *std::move(project),
                       .homes = {.engine = *std::move(engine), .ids = {}}};
  for (const Json& id : *ids) {
    if (!id.is_string()) return std::nullopt;
    recall.homes.ids.push_back(id.get<std::string>());
  }
  return recall;
}

}  // namespace

std::vector<std::string> notices_of(const PeerRecall& recall, std::size_t number) {
  std::string text;
  JsonWriter out(text);
  out.begin_object().field("project", recall.project).field("engine", recall.homes.engine);
  out.key("ids").begin_array();
  for (const std::string& id : recall.homes.ids) out.value(id);
  out.end_array().end_object();

  std::vector<std::string_view> pieces;
  for (std::string_view rest = text; !rest.empty();) {
    std::size_t end = std::min(piece_bytes, rest.size());
    // No character is torn: each piece is text by itself.
    while (end < rest.size() && (static_cast<unsigned char>(rest[end]) & 0xc0U) == 0x80U) --end;
    pieces.push_back(rest.substr(0, end));
    rest.remove_prefix(end);
  }
  std::vector<std::string> notices;
  for (const std::string_view piece : pieces) {
    notices.push_back(fmt::format("{}.{}/{}:{}", number, notices.size(), pieces.size(), piece));
  }
  return notices;
}

std::optional<PeerRecall> RecallNotices::add(std::string_view piece) {
  const std::size_t colon = piece.find(':');
  const auto head = read_head(piece.substr(0, colon));
  if (!head || colon == std::string_view::npos) return std::nullopt;
  if (head->piece == 0) {
    text_.clear();
    number_ = head->recall;
    next_ = 0;
  }
  const bool follows = head->recall == number_ && head->piece == next_;
  if (!follows || text_.size() + piece.size() > recall_bytes_max) return std::nullopt;
  text_ += piece.substr(colon + 1);
  ++next_;
  if (next_ < head->pieces) return std::nullopt;
  next_ = 0;
  return read_recall(std::exchange(text_, {}));
}

}  // namespace limitr::server
