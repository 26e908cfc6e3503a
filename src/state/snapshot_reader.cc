// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "state/bracket_scan.h"
#include "state/record.h"
#include "state/record_reader.h"
#include "state/text_window.h"

// Only what stands around the records is read here, by quotes and brackets; each record is then
// read as a text of its own.
//
// INVARIANTS
// 1. A customer is loaded only from text that is a whole record, and in a map only where its `id`
//    is the key before it.
// 2. Where the structure holds, only it says what is a record. Where it does not, records are
// looked
//    for: a key and an object that begins with that key as its `id`, has the fields that every
//    record is written with and none that is unknown. So no grant, cap or hold of a damaged record
//    is taken for a customer.
// 3. Whatever is passed over is refused, with its place.
namespace limitr::state {
namespace {

enum class Shape : bool { map, list };

// How many bytes all looking for records in damaged text may read: hostile text could make it look
// at the same ones again and again.
constexpr std::size_t patience_bytes = std::size_t{1} << 30U;
constexpr std::size_t patience_a_byte = 64;
// In a text that is known to be damaged, a record that goes on for this long is looked into.
constexpr std::size_t first_look_bytes = std::size_t{64} << 10U;

// How many records tell how large the others are.
constexpr std::size_t first_records = 256;

constexpr std::size_t not_found = std::string_view::npos;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Whether what stands between quotes says just that.
bool is_plain(std::string_view inside) {
  return std::all_of(inside.begin(), inside.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != '\\'; });
}

// What a text in quotes says; none where it is no JSON.
std::optional<std::string> unquoted(std::string_view quoted) {
  const std::string_view inside = quoted.substr(1, quoted.size() - 2);
  if (is_plain(inside)) {
    return is_utf8(inside) ? std::optional(std::string(inside)) : std::nullopt;
  }
  const Json text = Json::parse(quoted, nullptr, /*allow_exceptions=*/false);
  return text.is_string() ? std::optional(text.get<std::string>()) : std::nullopt;
}

// Moves over JSON text by quotes and brackets. Each call takes an offset to begin at, and gives
// the offset behind what it looked for; not_found where the text ends before.
class Structure {
public:
  explicit Structure(TextWindow& window) : window_(window) {}

  // The next byte that is no space, where `at` is then; none at the end of the text.
  std::optional<char> peek(std::size_t& at) {
    for (; window_.has(at); ++at) {
      if (!is_space(window_[at])) return window_[at];
    }
    return std::nullopt;
  }
  bool take(char c, std::size_t& at) {
    if (peek(at) != c) return false;
    ++at;
    return true;
  }
  // REQUIRES: a quote stands at `at`.
  std::size_t text_end(std::size_t at) {
    const std::size_t begin = at + 1;
    for (at = begin; window_.has(at);) {
      const std::size_t quote = window_.text(at, window_.end()).find('"');
      if (quote == not_found) {
        at = window_.end();
        continue;
      }
      at += quote;
      std::size_t escapes = at;
      while (escapes > begin && window_[escapes - 1] == '\\') --escapes;
      ++at;
      if ((at - escapes) % 2 == 1) return at;
    }
    return not_found;
  }
  // REQUIRES: a bracket opens at `at`. Looks at `most` bytes.
  std::size_t bracket_end(std::size_t at, std::size_t most = max_record_bytes) {
    BracketScan scan;
    std::size_t seen = at;
    while (window_.has(seen)) {
      const std::size_t to = std::min(window_.end(), at + most);
      const std::size_t length = scan.scan(window_.text(seen, to));
      if (length != BracketScan::not_yet) return seen + length;
      if (to == at + most) return not_found;
      seen = to;
    }
    return not_found;
  }
  // Of any value.
  std::size_t value_end(std::size_t at) {
    const std::optional<char> first = peek(at);
    if (!first) return not_found;
    if (*first == '{' || *first == '[') return bracket_end(at);
    if (*first == '"') return text_end(at);
    const auto belongs = [](char c) {
      return !is_space(c) && std::string_view(",:{}[]\"").find(c) == not_found;
    };
    const std::size_t begin = at;
    while (window_.has(at) && belongs(window_[at])) ++at;
    return at == begin ? not_found : at;
  }

private:
  TextWindow& window_;
};

// What every record is written with.
constexpr std::array<std::string_view, 7> written_always = {
    R"("plan")",   R"("type")", R"("meters")",  R"("overrides")",
    R"("grants")", R"("caps")", R"("metadata")"};
// What else stands in a record, and so is no section of an export.
constexpr std::array<std::string_view, 11> record_fields = {
    "id",        "plan",   "type", "label",    "refs",  "alt_ids",
    "overrides", "grants", "caps", "metadata", "meters"};

class SnapshotReader {
public:
  SnapshotReader(TextWindow& window, SymbolTable& names, const RecordSink& sink)
      : window_(window), structure_(window), sink_(sink), records_(names) {}

  Result<void> read() {
    const bool is_read = read_document();
    if (window_.error()) return *window_.error();
    if (!is_read) return *std::move(error_);
    return {};
  }

private:
  struct Key {
    std::size_t begin;  // of its quote
    std::size_t end;
    std::size_t value;  // where its value begins
  };
  // What stands at at_ after a record was read.
  enum class Next : std::uint8_t { separator, record, section, nothing };

  bool read_document() {
    const std::optional<char> first = structure_.peek(at_);
    if (!first) return fail("the text is empty", at_);
    if (*first != '{' && *first != '[') {
      error_ = record_invalid("expected an object of records, or a list of them");
      return false;
    }
    is_export_ = *first == '{' && is_export(at_);
    ++at_;
    if (is_export_) return read_sections();
    return read_records(*first == '{' ? Shape::map : Shape::list);
  }

  // ---- What is told of damage. ----

  bool fail(std::string_view message, std::size_t at) {
    error_ = record_invalid(fmt::format("{} ({})", message, window_.place(at)));
    return false;
  }
  bool break_off(std::string_view inside = {}) {
    return fail(inside.empty() ? "the text breaks off"
                               : fmt::format("the text breaks off inside {}", inside),
                window_.end());
  }
  // For a value that has no end: it goes on beyond the text, or there is none.
  bool no_value(std::size_t at, std::string_view what) {
    const std::optional<char> first = structure_.peek(at);
    if (first && std::string_view("\"{[").find(*first) == not_found) {
      return fail(fmt::format("expected {}", what), at);
    }
    return window_.has(at + max_record_bytes)
               ? fail(fmt::format("{} is larger than {} MiB", what, max_record_bytes >> 20U), at)
               : break_off(what);
  }
  void refuse(std::string id, Error error, std::size_t at) {
    error.message += fmt::format(" ({})", window_.place(at));
    sink_.refused(std::move(id), std::move(error));
  }
  void refuse_skipped(std::string_view message, std::size_t from, std::size_t to) {
    refuse({}, record_invalid(fmt::format("{}: {} bytes are skipped", message, to - from)), from);
  }

  // The structure does not hold at at_: goes on at the next record, and refuses what is skipped.
  Next go_on(Shape shape, std::string_view message) {
    const std::size_t from = at_;
    fail(message, from);  // As long as its place can be told.
    const std::size_t next = next_record(from, shape, not_found);
    if (next == not_found) return Next::nothing;
    is_damaged_ = true;
    sink_.refused(
        {}, record_invalid(fmt::format("{}: {} bytes are skipped", error_->message, next - from)));
    error_.reset();
    at_ = next;
    return Next::record;
  }

  // ---- Keys. ----

  // The key at `at` and where its value begins; none where there is no key with a colon.
  std::optional<Key> key_at(std::size_t at) {
    Key key{.begin = at, .end = 0, .value = 0};
    if (structure_.peek(key.begin) != '"') return std::nullopt;
    key.end = structure_.text_end(key.begin);
    if (key.end == not_found) return std::nullopt;
    key.value = key.end;
    if (!structure_.take(':', key.value) || !structure_.peek(key.value)) return std::nullopt;
    return key;
  }
  std::string_view quoted(const Key& key) const { return window_.text(key.begin, key.end); }
  std::string_view inside(const Key& key) const { return window_.text(key.begin + 1, key.end - 1); }
  bool is_called(const Customer& customer, const Key& key) const {
    return is_plain(inside(key)) ? inside(key) == customer.id
                                 : unquoted(quoted(key)) == customer.id;
  }

  // ---- Which of the shapes an object has. ----

  // An export has `format`, which is no object; or it begins with another of its sections, which
  // is no record.
  bool is_export(std::size_t root) {
    const std::optional<Key> first = key_at(root + 1);
    if (!first) return false;
    if (inside(*first) == "format") return window_[first->value] != '{';
    return is_section_name(inside(*first)) && !is_like_a_record(first->value);
  }
  static bool is_section_name(std::string_view name) {
    return name == "customers" || name == "estimates" || name == "requests";
  }
  // A record has a member that is no object, its `id` at the least; a section has none, and nearly
  // always begins with a whole record.
  bool is_like_a_record(std::size_t at) {
    if (window_[at] != '{') return false;
    for (std::size_t member = at + 1; member - at < max_record_bytes;) {
      const std::optional<Key> key = key_at(member);
      if (!key) return false;
      if (window_[key->value] != '{') return true;
      if (begins_with_its_id(*key)) return false;
      member = structure_.value_end(key->value);
      if (member == not_found || !structure_.take(',', member)) return false;
    }
    return false;
  }
  bool begins_with_its_id(const Key& key) {
    const std::optional<Key> id = key_at(key.value + 1);
    if (!id || inside(*id) != "id" || window_[id->value] != '"') return false;
    const std::size_t end = structure_.text_end(id->value);
    return end != not_found && window_.text(id->value, end) == quoted(key);
  }

  // ---- Records. ----

  // A map or a list, from behind its opening bracket to behind its closing one. False: the text is
  // at its end, or nothing can be told of the rest of it.
  bool read_records(Shape shape) {
    const bool is_empty = structure_.peek(at_) == closing(shape);
    Next next = is_empty ? pass_separator(shape) : Next::record;
    while (next == Next::record) {
      release();
      next = shape == Shape::map ? read_member() : read_element();
      if (next == Next::separator) next = pass_separator(shape);
    }
    return next != Next::nothing;
  }
  static char closing(Shape shape) { return shape == Shape::map ? '}' : ']'; }
  void release() {
    window_.release(at_);
    released_ = at_;
  }

  // What comes behind a record: the next one, or `separator` where the bracket has closed.
  Next pass_separator(Shape shape) {
    const std::optional<char> next = structure_.peek(at_);
    if (!next) return nothing(break_off());
    if (*next == ',') {
      ++at_;
      return Next::record;
    }
    if (*next != closing(shape)) return go_on(shape, "expected a comma between records");
    if (!is_credible_end(at_ + 1)) {
      ++at_;
      return go_on(shape,
                   is_export_ ? "the customers end too early" : "more text behind the snapshot");
    }
    ++at_;
    return Next::separator;
  }
  static Next nothing(bool /*failed*/) { return Next::nothing; }

  // Whether the records can end with the bracket before `at`.
  bool is_credible_end(std::size_t at) {
    const std::optional<char> next = structure_.peek(at);
    if (!is_export_) return !next;
    if (!next || *next == '}') return true;
    if (*next != ',') return false;
    const std::optional<Key> key = key_at(at + 1);
    if (!key) return true;
    const bool is_field = std::find(record_fields.begin(), record_fields.end(), inside(*key)) !=
                              record_fields.end() ||
                          (inside(*key) == "format" && has_format_);
    return !is_field && !is_record(Shape::map, *key);
  }

  Next read_member() {
    const std::optional<Key> key = key_at(at_);
    if (!key) {
      if (!structure_.peek(at_)) return nothing(break_off());
      return go_on(Shape::map, "expected an ID and its record");
    }
    if (is_export_ && is_section_name(inside(*key)) && !is_like_a_record(key->value)) {
      refuse_skipped("the end of the customers is missing", key->begin, key->begin);
      at_ = key->begin;
      is_at_section_ = true;
      return Next::section;
    }
    return read_record(Shape::map, *key);
  }
  Next read_element() {
    if (!structure_.peek(at_)) return nothing(break_off());
    return read_record(Shape::list, {.begin = at_, .end = at_, .value = at_});
  }

  Next read_record(Shape shape, const Key& key) {
    const std::size_t number = number_++;
    if (window_[key.value] != '{') return refuse_value(shape, key, number);
    const std::size_t end = record_end(shape, key.value);
    if (end == not_found) return pass_endless(shape, key, number);
    Result<Customer> customer = records_.read(window_.padded(key.value, end));
    if (customer.ok() && shape == Shape::map && !is_called(*customer, key)) {
      customer = record_invalid("its `id` is another than the one it stands under", "id");
    }
    if (!customer.ok() || !customer->more().unknown.is_null()) {
      return read_doubtful(shape, key, end, number, std::move(customer));
    }
    at_ = end;
    sink_.loaded(*std::move(customer));
    if (number_ == first_records) tell_expected();
    return Next::separator;
  }
  void tell_expected() {
    if (sink_.expected && window_.is_complete()) {
      sink_.expected(window_.end() / (at_ / first_records));
    }
  }

  // One that is wrong, or has fields that are not ours: where a bracket is missing, those are the
  // records behind it.
  Next read_doubtful(Shape shape, const Key& key, std::size_t end, std::size_t number,
                     Result<Customer> customer) {
    const std::size_t swallowed = first_swallowed(shape, key, end);
    at_ = end;
    if (customer.ok() && swallowed == not_found) {
      sink_.loaded(*std::move(customer));
      return Next::separator;
    }
    refuse(name_of(shape, key, end, number),
           customer.ok() ? record_invalid("another record stands inside it: a bracket is missing")
                         : std::move(customer).error(),
           key.begin);
    std::size_t next = swallowed;
    if (next == not_found && !is_followed(shape, end)) next = next_record(key.value, shape, end);
    if (next == not_found) return Next::separator;
    is_damaged_ = true;
    at_ = next;
    return Next::record;
  }

  // Whether what stands behind a record is what stands between records.
  bool is_followed(Shape shape, std::size_t at) {
    const std::optional<char> next = structure_.peek(at);
    if (next == closing(shape)) return is_credible_end(at + 1);
    return structure_.take(',', at) && structure_.peek(at) == (shape == Shape::map ? '"' : '{');
  }

  Next refuse_value(Shape shape, const Key& key, std::size_t number) {
    refuse(name_of(shape, key, key.value, number), record_invalid("a record must be an object"),
           key.begin);
    const std::size_t end = structure_.value_end(key.value);
    at_ = end == not_found ? key.value : end;
    return Next::separator;
  }

  // In damaged text a bracket may be missing, so it is not gone after to the bound at once.
  std::size_t record_end(Shape shape, std::size_t at) {
    std::size_t most = is_damaged_ ? first_look_bytes : max_record_bytes;
    for (;;) {
      const std::size_t end = structure_.bracket_end(at, most);
      if (end != not_found || most >= max_record_bytes || !window_.has(at + most)) return end;
      if (next_record(at, shape, at + most) != not_found) return not_found;
      most *= 4;
    }
  }

  // A record whose end is not found: the text ends before, or a bracket or a quote is missing, or
  // it is too large.
  Next pass_endless(Shape shape, const Key& key, std::size_t number) {
    const std::string name = name_of(shape, key, key.value, number);
    spend(window_.end() - key.value);
    const std::size_t next = next_record(key.value, shape, window_.end());
    if (next != not_found) {
      is_damaged_ = true;
      refuse(
          name,
          record_invalid(fmt::format("its end is missing: {} bytes are skipped", next - key.begin)),
          key.begin);
      at_ = next;
      return Next::record;
    }
    if (!window_.has(key.value + max_record_bytes)) {
      return nothing(break_off(fmt::format("the record of `{}`", name)));
    }
    refuse(name,
           record_invalid(fmt::format("larger than {} MiB, the most that a record may have",
                                      max_record_bytes >> 20U)),
           key.begin);
    BracketScan scan;
    for (at_ = key.value; window_.has(at_); release()) {
      const std::size_t length = scan.scan(window_.text(at_, window_.end()));
      if (length != BracketScan::not_yet) {
        at_ += length;
        return Next::separator;
      }
      at_ = window_.end();
    }
    return nothing(break_off(fmt::format("the record of `{}`", name)));
  }

  std::string name_of(Shape shape, const Key& key, std::size_t end, std::size_t number) {
    std::optional<std::string> id;
    if (shape == Shape::map) {
      id = unquoted(quoted(key));
    } else if (window_[key.value] == '{') {
      id = first_id(key.value);
      if (!id && end != key.value) id = records_.id_of(window_.padded(key.value, end));
    }
    return id && !id->empty() ? *id : fmt::format("[{}]", number);
  }
  // The `id` of a record that begins with it, whatever is wrong behind.
  std::optional<std::string> first_id(std::size_t record) {
    const std::optional<Key> key = key_at(record + 1);
    if (!key || inside(*key) != "id" || window_[key->value] != '"') return std::nullopt;
    const std::size_t end = structure_.text_end(key->value);
    return end == not_found ? std::nullopt : unquoted(window_.text(key->value, end));
  }

  // ---- Records in damaged text. ----

  // The first record of the text from `from` to `limit` that is certain to be one; in what comes
  // out of the source, where that is not_found.
  std::size_t next_record(std::size_t from, Shape shape, std::size_t limit) {
    constexpr std::string_view id = R"("id")";
    for (std::size_t at = from; at < limit;) {
      const std::string_view text = window_.text(at, std::min(limit, window_.end()));
      const void* found = ::memmem(text.data(), text.size(), id.data(), id.size());
      if (found == nullptr) {
        if (!spend(text.size()) || window_.end() >= limit) return not_found;
        at += text.size() - std::min(text.size(), id.size() - 1);
        // The key stands before what is looked for.
        if (limit == not_found && at - released_ > max_record_bytes) {
          released_ = at - max_record_bytes / 2;
          window_.release(released_);
        }
        if (!window_.more()) return not_found;
        continue;
      }
      const auto passed = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
      at += passed;
      if (!spend(passed)) return not_found;
      const std::optional<Key> key = key_around(at, shape);
      if (key && key->begin >= from && is_record(shape, *key)) return key->begin;
      at += id.size();
    }
    return not_found;
  }

  // Of the record that has its `id` at `at`.
  std::optional<Key> key_around(std::size_t at, Shape shape) {
    const std::size_t open = before(at, '{');
    if (open == not_found) return std::nullopt;
    const std::size_t colon = before(open, ':');
    const std::size_t quote = colon == not_found ? not_found : before(colon, '"');
    if (shape == Shape::list) {
      if (quote != not_found) return std::nullopt;  // A field, not an element.
      return Key{.begin = open, .end = open, .value = open};
    }
    const std::optional<Key> id = key_at(at);
    if (!id || window_[id->value] != '"') return std::nullopt;
    const std::size_t id_end = structure_.text_end(id->value);
    if (id_end == not_found) return std::nullopt;
    const std::size_t size = id_end - id->value;
    if (quote == not_found || quote + 1 - released_ < size) return std::nullopt;
    const Key key{.begin = quote + 1 - size, .end = quote + 1, .value = open};
    if (quoted(key) != window_.text(id->value, id_end)) return std::nullopt;
    return key;
  }
  // Where `c` stands before `at`, with nothing but spaces between.
  std::size_t before(std::size_t at, char c) const {
    while (at > released_ && is_space(window_[at - 1])) --at;
    return at > released_ && window_[at - 1] == c ? at - 1 : not_found;
  }

  // INVARIANT 2.
  bool is_record(Shape shape, const Key& key) {
    if (window_[key.value] != '{') return false;
    const std::size_t end = structure_.bracket_end(key.value);
    if (!spend((end == not_found ? window_.end() : end) - key.value) || end == not_found) {
      return false;
    }
    const std::string_view text = window_.padded(key.value, end);
    const auto is_there = [&](std::string_view field) {
      return ::memmem(text.data(), text.size(), field.data(), field.size()) != nullptr;
    };
    if (!std::all_of(written_always.begin(), written_always.end(), is_there)) return false;
    const Result<Customer> customer = records_.read(text);
    return customer.ok() && customer->more().unknown.is_null() &&
           (shape == Shape::list || is_called(*customer, key));
  }

  // The first of the records that stand where a field of this one would, or inside a text: there is
  // a bracket or a quote missing before it, since nothing is quoted without backslashes.
  std::size_t first_swallowed(Shape shape, const Key& key, std::size_t end) {
    for (std::size_t at = next_record(key.value, shape, end); at != not_found;
         at = next_record(at + 1, shape, end)) {
      BracketScan scan;
      scan.scan(window_.text(key.value, at));
      spend(at - key.value);
      if (scan.depth() == 1 || scan.is_in_text()) return at;
    }
    return not_found;
  }

  // False where there is no patience left.
  bool spend(std::size_t bytes) {
    spent_ += bytes;
    return spent_ <= patience_bytes + patience_a_byte * at_;
  }

  // ---- The sections of an export. ----

  bool read_sections() {
    for (bool is_open = true; is_open;) {
      release();
      const std::optional<Key> key = key_at(at_);
      if (!key) {
        return structure_.peek(at_) ? fail("expected the name of a section", at_) : break_off();
      }
      if (!read_section(*key)) return false;
      if (std::exchange(is_at_section_, false)) continue;
      const std::optional<char> next = structure_.peek(at_);
      if (!next) return break_off();
      if (*next != ',' && *next != '}') return fail("expected a comma between sections", at_);
      ++at_;
      is_open = *next == ',';
    }
    if (structure_.peek(at_)) return fail("more text behind the snapshot", at_);
    return has_format_ || no_format();
  }

  bool read_section(const Key& key) {
    const std::string_view name = inside(key);
    const char first = window_[key.value];
    if (name == "format") return read_format(key);
    if (name == "customers" && (first == '{' || first == '[')) return read_customers(key);
    if (name == "estimates" && first == '{') return read_estimates(key.value);
    if (name == "requests" && first == '[') return read_requests(key.value);
    return pass_section(key);
  }
  bool read_customers(const Key& key) {
    at_ = key.value + 1;
    return read_records(window_[key.value] == '{' ? Shape::map : Shape::list);
  }
  bool read_format(const Key& key) {
    const std::size_t end = structure_.value_end(key.value);
    if (end == not_found) return no_value(key.value, "the format");
    const std::optional<double> format = number_in(window_.text(key.value, end));
    has_format_ = format && *format == record_format;
    if (!has_format_) return no_format(format);
    at_ = end;
    return true;
  }
  bool no_format(std::optional<double> found = {}) {
    std::string message = fmt::format("expected format {}", record_format);
    if (found) message += fmt::format(", not {}", *found);
    error_ = record_invalid(message, "format");
    return false;
  }

  // What the file store keeps beside an export.
  static bool is_of_a_store(std::string_view name) { return name == "policy" || name == "store"; }

  // A section that is not read: it is empty, of another type than it should be, or none of ours.
  bool pass_section(const Key& key) {
    const std::string name = unquoted(quoted(key)).value_or("?");
    const bool is_known = is_section_name(name);
    const bool is_kept = is_of_a_store(name);
    if (!is_known && !is_kept && window_[key.value] == '{') {
      const std::optional<Key> member = key_at(key.value + 1);
      if (member && is_record(Shape::map, *member)) {
        refuse(name, record_invalid("expected `customers`, for there are records in it"),
               key.begin);
        return read_customers(key);
      }
    }
    const std::size_t end = structure_.value_end(key.value);
    if (end == not_found) return no_value(key.value, fmt::format("the value of `{}`", name));
    if (is_kept) {
      at_ = end;
      return true;
    }
    if (!is_known) {
      refuse(name, record_invalid("an export has no such section"), key.begin);
    } else if (window_.text(key.value, end) != "null") {
      refuse(name,
             record_invalid(name == "customers"   ? "expected an object or a list of records"
                            : name == "estimates" ? "expected an object"
                                                  : "expected a list"),
             key.begin);
    }
    at_ = end;
    return true;
  }
  static std::optional<double> number_in(std::string_view value) {
    constexpr std::size_t longest_number = 40;
    if (value.size() > longest_number) return std::nullopt;
    const Json number = Json::parse(value, nullptr, /*allow_exceptions=*/false);
    return number.is_number() ? std::optional(number.get<double>()) : std::nullopt;
  }

  // Calls `take(key)` for each member of an object, whose values are objects, and leaves at_ behind
  // it. False where its structure does not hold.
  template <typename Take>
  bool each_object(std::size_t at, std::string_view name, const Take& take) {
    at_ = at + 1;
    if (structure_.take('}', at_)) return true;
    for (;;) {
      release();
      const std::optional<Key> key = key_at(at_);
      if (!key) return structure_.peek(at_) ? fail("expected a name", at_) : break_off(name);
      at_ = key->value;
      if (window_[key->value] == '{') {
        if (!take(*key)) return false;
      } else {
        refuse(fmt::format("{}.{}", name, unquoted(quoted(*key)).value_or("?")),
               record_invalid("expected an object"), key->begin);
        at_ = structure_.value_end(key->value);
        if (at_ == not_found) return no_value(key->value, "an object");
      }
      if (structure_.take('}', at_)) return true;
      if (!structure_.take(',', at_)) {
        return structure_.peek(at_) ? fail("expected a comma", at_) : break_off(name);
      }
    }
  }

  bool read_estimates(std::size_t at) {
    return each_object(at, "estimates", [&](const Key& entitlement) {
      const std::string name = unquoted(quoted(entitlement)).value_or("");
      return each_object(entitlement.value, "estimates." + name,
                         [&](const Key& segment) { return read_estimate(name, segment); });
    });
  }
  bool read_estimate(const std::string& entitlement, const Key& key) {
    const std::size_t end = structure_.bracket_end(key.value);
    if (end == not_found) return no_value(key.value, "an estimate");
    const std::string segment = unquoted(quoted(key)).value_or("");
    Result<EstimateStats> stats = records_.read_estimate(segment, window_.padded(key.value, end));
    at_ = end;
    if (stats.ok()) {
      sink_.estimate(entitlement, *std::move(stats));
    } else {
      refuse(fmt::format("estimates.{}.{}", entitlement, segment), std::move(stats).error(),
             key.begin);
    }
    return true;
  }

  bool read_requests(std::size_t at) {
    at_ = at + 1;
    if (structure_.take(']', at_)) return true;
    for (std::size_t number = 0;; ++number) {
      release();
      if (!structure_.peek(at_)) return break_off("requests");
      if (!read_request(number)) return false;
      if (structure_.take(']', at_)) return true;
      if (!structure_.take(',', at_)) {
        return structure_.peek(at_) ? fail("expected a comma between requests", at_)
                                    : break_off("requests");
      }
    }
  }
  bool read_request(std::size_t number) {
    const std::size_t begin = at_;
    const std::size_t end = structure_.value_end(begin);
    if (end == not_found) return no_value(begin, fmt::format("requests[{}]", number));
    Result<ExportedRequest> read = records_.read_request(window_.padded(begin, end));
    at_ = end;
    if (read.ok()) {
      sink_.request(read->customer, std::move(read->request));
    } else {
      refuse(fmt::format("requests[{}]", number), std::move(read).error(), begin);
    }
    return true;
  }

  TextWindow& window_;
  Structure structure_;
  const RecordSink& sink_;
  RecordReader records_;
  std::size_t at_ = 0;
  std::size_t released_ = 0;
  std::size_t number_ = 0;  // of the next record
  std::size_t spent_ = 0;   // on looking for records in damaged text
  bool is_export_ = false;
  bool has_format_ = false;
  bool is_at_section_ = false;  // Read on there, though the customers have no end.
  bool is_damaged_ = false;
  std::optional<Error> error_;
};

}  // namespace

Result<void> read_snapshot(std::string_view text, SymbolTable& names, const RecordSink& sink) {
  TextWindow window(text);
  return SnapshotReader(window, names, sink).read();
}

Result<void> read_snapshot(const TextSource& source, SymbolTable& names, const RecordSink& sink) {
  TextWindow window(source);
  return SnapshotReader(window, names, sink).read();
}

}  // namespace limitr::state
