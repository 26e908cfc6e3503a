// SPDX-License-Identifier: Apache-2.0
#include "store/file/journal.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "store/checksum.h"

namespace limitr::store::file {
namespace {

constexpr std::string_view journal_magic = "limitrJ1";
static_assert(journal_magic.back() == journal_version);
constexpr std::string_view frame_magic = "limitrF1";
constexpr std::size_t number_size = 8;
constexpr std::size_t header_size = 4 * number_size;
constexpr std::size_t head_size = 5 * number_size;

void pack(std::string& out, std::uint64_t number) {
  for (unsigned shift = 0; shift < 64; shift += 8) {
    out.push_back(static_cast<char>(static_cast<unsigned char>(number >> shift)));
  }
}

void pack(std::string& out, std::string_view text) {
  pack(out, std::uint64_t{text.size()});
  out.append(text);
}

/// Takes numbers and texts off the front of some bytes. Once they run out, all is empty.
class Unpacker {
public:
  explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}

  std::string_view bytes(std::uint64_t size) {
    if (size > bytes_.size()) {
      is_good_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::uint64_t number() {
    std::uint64_t number = 0;
    unsigned shift = 0;
    for (const char byte : bytes(number_size)) {
      number |= std::uint64_t{static_cast<unsigned char>(byte)} << shift;
      shift += 8;
    }
    return number;
  }

  std::string_view text() { return bytes(number()); }

  bool is_good() const { return is_good_; }
  /// Whether all of it was there, and nothing is left.
  bool is_done() const { return is_good_ && bytes_.empty(); }

private:
  std::string_view bytes_;
  bool is_good_ = true;
};

std::uint64_t header_sum(const JournalHeader& header) {
  return Checksum().add(journal_magic).add(header.generation).add(header.seal).value();
}

enum class Kind : std::uint8_t { removal = 0, customer = 1, estimates = 2, policy = 3 };

/// What the index says of one part of the body.
struct Entry {
  Kind kind = Kind::removal;
  std::string id = {};
  std::vector<std::string> alt_ids = {};
  std::uint64_t first_request = 0;
  std::uint64_t requests = 0;
  std::uint64_t size = 0;
  std::uint64_t sum = 0;
};

std::uint64_t part_sum(const Entry& entry, std::uint64_t seal, std::string_view part) {
  return Checksum()
      .add(seal)
      .add(static_cast<std::uint64_t>(entry.kind))
      .add(entry.id)
      .add(part)
      .value();
}

struct Frame {
  std::uint64_t group = 0;
  std::vector<Entry> entries = {};
  std::string_view body = {};
  std::uint64_t end = 0;  ///< In the journal.

  bool is_whole(std::uint64_t seal) const {
    std::uint64_t at = 0;
    return std::ranges::all_of(entries, [&](const Entry& entry) {
      const std::string_view part = body.substr(at, entry.size);
      at += entry.size;
      return part_sum(entry, seal, part) == entry.sum;
    });
  }
};

std::uint64_t head_sum(std::uint64_t seal, std::uint64_t at, std::uint64_t body,
                       std::uint64_t group, std::string_view index) {
  return Checksum().add(seal).add(at).add(body).add(group).add(index).value();
}

// Appends a part to the body, and what the index says of it.
void pack_part(const Entry& entry, std::string_view part, std::uint64_t seal, std::string& index,
               std::string& body) {
  pack(index, static_cast<std::uint64_t>(entry.kind));
  pack(index, std::string_view(entry.id));
  pack(index, std::uint64_t{entry.alt_ids.size()});
  for (const std::string& alt : entry.alt_ids) pack(index, std::string_view(alt));
  pack(index, entry.first_request);
  pack(index, entry.requests);
  pack(index, std::uint64_t{part.size()});
  pack(index, part_sum(entry, seal, part));
  body.append(part);
}

Entry read_entry(Unpacker& in) {
  Entry entry;
  entry.kind = static_cast<Kind>(in.number());
  entry.id = in.text();
  for (std::uint64_t alts = in.number(); alts > 0 && in.is_good(); --alts) {
    entry.alt_ids.emplace_back(in.text());
  }
  entry.first_request = in.number();
  entry.requests = in.number();
  entry.size = in.number();
  entry.sum = in.number();
  return entry;
}

std::string part_of(const CustomerWrite& write) {
  std::string part;
  pack(part, std::string_view(*write.record));
  for (const StoredRequest& request : write.new_requests) {
    pack(part, request.number);
    pack(part, std::string_view(request.id));
    pack(part, request.fingerprint);
    pack(part, std::string_view(request.answer));
    pack(part, static_cast<std::uint64_t>(request.at.time_since_epoch().count()));
  }
  return part;
}

CustomerWrite write_of(const Entry& entry, std::string_view part) {
  CustomerWrite write;
  write.id = entry.id;
  if (entry.kind == Kind::removal) return write;
  Unpacker in(part);
  write.record = in.text();
  write.alt_ids = entry.alt_ids;
  write.first_request = entry.first_request;
  for (std::uint64_t left = entry.requests; left > 0 && in.is_good(); --left) {
    StoredRequest& request = write.new_requests.emplace_back();
    request.number = in.number();
    request.id = in.text();
    request.fingerprint = in.number();
    request.answer = in.text();
    request.at = Timestamp(Millis(static_cast<std::int64_t>(in.number())));
  }
  return write;
}

/// The frame at that place, as far as its index goes; its parts may be damaged. None: there is no
/// such frame, or not all of it.
std::optional<Frame> read_frame(std::string_view journal, std::uint64_t at, std::uint64_t seal) {
  Unpacker in(journal.substr(at));
  if (in.bytes(frame_magic.size()) != frame_magic) return std::nullopt;
  const std::uint64_t index_size = in.number();
  const std::uint64_t body_size = in.number();
  Frame frame;
  frame.group = in.number();
  const std::uint64_t sum = in.number();
  const std::string_view index = in.bytes(index_size);
  frame.body = in.bytes(body_size);
  if (!in.is_good() || head_sum(seal, at, body_size, frame.group, index) != sum) {
    return std::nullopt;
  }
  frame.end = at + head_size + index_size + body_size;
  Unpacker entries(index);
  while (entries.is_good() && !entries.is_done()) frame.entries.push_back(read_entry(entries));
  std::uint64_t parts = 0;
  for (const Entry& entry : frame.entries) {
    if (entry.size > body_size - parts) return std::nullopt;
    parts += entry.size;
  }
  if (!entries.is_done() || parts != body_size) return std::nullopt;
  return frame;
}

/// Whether a frame stands anywhere behind that place. The owner writes none before the one before
/// it is safe: so what is there was written, and is no broken end.
bool has_frame_behind(std::string_view journal, std::uint64_t at, std::uint64_t seal) {
  for (;; ++at) {
    at = journal.find(frame_magic, at);
    if (at == std::string_view::npos) return false;
    if (read_frame(journal, at, seal)) return true;
  }
}

/// Whether the journal ends inside this frame, as it does when its process dies while it writes.
bool breaks_off(std::string_view journal, std::uint64_t at) {
  const std::string_view rest = journal.substr(at);
  if (rest.size() < head_size) return true;
  Unpacker in(rest);
  const bool is_frame = in.bytes(frame_magic.size()) == frame_magic;
  const std::uint64_t index = in.number();
  const std::uint64_t body = in.number();
  const std::uint64_t there = rest.size() - head_size;
  return is_frame && (index > there || body > there - index);
}

class Replay {
public:
  Replay(const std::string& kept, std::uint64_t seal, Contents& contents)
      : where_(kept.empty() ? std::string()
                            : fmt::format(": the journal as it was found is kept as `{}`", kept)),
        seal_(seal),
        contents_(contents) {}

  void apply(const Frame& frame) {
    std::uint64_t at = 0;
    for (const Entry& entry : frame.entries) {
      const std::string_view part = frame.body.substr(at, entry.size);
      at += entry.size;
      const bool is_good = part_sum(entry, seal_, part) == entry.sum;
      if (entry.kind == Kind::estimates || entry.kind == Kind::policy) {
        apply_text(entry, part, is_good);
      } else {
        apply_customer(frame.group, entry, part, is_good);
      }
    }
    contents_.last_group = frame.group;
  }

  void say(std::string message) { damage_.push_back(std::move(message) + where_); }
  std::vector<std::string> take_damage() { return std::move(damage_); }

private:
  void apply_text(const Entry& entry, std::string_view part, bool is_good) {
    std::optional<Text>& text =
        entry.kind == Kind::estimates ? contents_.estimates : contents_.policy;
    text.emplace();
    if (is_good) {
      text->text = part;
    } else {
      say(fmt::format("the text `{}` of group {} is not what was written",
                      entry.kind == Kind::estimates ? "estimates" : "policy",
                      contents_.last_group));
      text->damage = damage_.back();
    }
  }

  void apply_customer(std::uint64_t group, const Entry& entry, std::string_view part,
                      bool is_good) {
    const CustomerWrite write = write_of(entry, is_good ? part : std::string_view());
    contents_.apply(group, write);
    if (entry.kind == Kind::removal) {
      lost_requests_.erase(entry.id);
      return;
    }
    if (!is_good) {
      say(fmt::format("the customer `{}` of group {} is not what was written", entry.id, group));
      if (entry.requests > 0) lost_requests_.insert(entry.id);
      return mark(entry.id, damage_.back());
    }
    // A later group has all of a customer again, but not the requests of the damaged one.
    if (lost_requests_.contains(entry.id)) {
      mark(entry.id, fmt::format("requests of the customer `{}` are not what was written{}",
                                 entry.id, where_));
    }
  }

  void mark(const std::string& id, std::string damage) {
    Kept marked = *contents_.customers().at(id);
    marked.damage = std::move(damage);
    contents_.put(id, std::make_shared<const Kept>(std::move(marked)));
  }

  const std::string where_;
  const std::uint64_t seal_;
  Contents& contents_;
  std::set<std::string> lost_requests_;
  std::vector<std::string> damage_;
};

}  // namespace

std::string to_bytes(const JournalHeader& header) {
  std::string bytes(journal_magic);
  pack(bytes, header.generation);
  pack(bytes, header.seal);
  pack(bytes, header_sum(header));
  return bytes;
}

std::optional<JournalHeader> read_header(std::string_view journal) {
  Unpacker in(journal);
  if (in.bytes(journal_magic.size()) != journal_magic) return std::nullopt;
  JournalHeader header;
  header.generation = in.number();
  header.seal = in.number();
  if (in.number() != header_sum(header) || !in.is_good()) return std::nullopt;
  return header;
}

std::optional<char> later_version(std::string_view journal) {
  constexpr std::string_view name = journal_magic.substr(0, journal_magic.size() - 1);
  if (journal.size() < journal_magic.size() || !journal.starts_with(name)) return std::nullopt;
  const char version = journal[name.size()];
  return version > journal_version && version <= '9' ? std::optional(version) : std::nullopt;
}

std::string to_frame(const Group& group, std::uint64_t seal, std::uint64_t at) {
  std::string index;
  std::string body;
  for (const CustomerWrite& write : group.customers) {
    Entry entry{.id = write.id};
    if (!write.record) {
      pack_part(entry, {}, seal, index, body);
      continue;
    }
    entry.kind = Kind::customer;
    entry.alt_ids = write.alt_ids;
    entry.first_request = write.first_request;
    entry.requests = write.new_requests.size();
    pack_part(entry, part_of(write), seal, index, body);
  }
  if (group.estimates) {
    pack_part({.kind = Kind::estimates}, *group.estimates, seal, index, body);
  }
  if (group.policy) pack_part({.kind = Kind::policy}, *group.policy, seal, index, body);
  std::string frame(frame_magic);
  pack(frame, std::uint64_t{index.size()});
  pack(frame, std::uint64_t{body.size()});
  pack(frame, group.number);
  pack(frame, head_sum(seal, at, body.size(), group.number, index));
  return frame += index += body;
}

Result<std::vector<std::string>> replay(std::string_view journal, const std::string& path,
                                        const std::string& kept, std::uint64_t seal,
                                        Contents& contents) {
  Replay into(kept, seal, contents);
  for (std::uint64_t at = header_size; at < journal.size();) {
    const std::optional<Frame> frame = read_frame(journal, at, seal);
    const bool is_good =
        frame && (frame->is_whole(seal) || has_frame_behind(journal, frame->end, seal));
    if (is_good) {
      into.apply(*frame);
      at = frame->end;
      continue;
    }
    if (!frame && has_frame_behind(journal, at, seal)) {
      return Error{
          .code = ErrorCode::data_corrupt,
          .message = fmt::format("`{}` is damaged behind group {}, in the middle: what it changed "
                                 "there is not known; restore a backup",
                                 path, contents.last_group)};
    }
    if (!breaks_off(journal, at)) {
      into.say(
          fmt::format("the end of `{}`, behind group {}, is not what was written, and left "
                      "out: a power failure does that to a group that was not answered",
                      path, contents.last_group));
    }
    break;
  }
  return into.take_damage();
}

}  // namespace limitr::store::file
