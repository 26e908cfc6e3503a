// SPDX-License-Identifier: Apache-2.0
#include "engine/unreported_file.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>
// Header-only, as in the stores.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace limitr::engine {
namespace {

static_assert(std::atomic<double>::is_always_lock_free);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

constexpr std::size_t line_bytes = 64;
// By how much the file grows.
constexpr std::size_t chunk_bytes = std::size_t{1} << 20U;
// Of a block; so that no text makes the file full.
constexpr std::size_t most_lines = 256;
// The first eight bytes: "limitrU1", where the machine is little-endian.
constexpr std::uint64_t magic = 0x31'55'72'74'69'6d'69'6cU;

// What a block is.
constexpr std::uint32_t is_free = 1;
constexpr std::uint32_t is_stay = 2;
constexpr std::uint32_t is_meter = 3;
constexpr std::uint32_t is_cap = 4;

constexpr std::size_t lines_of(std::size_t bytes) { return (bytes + line_bytes - 1) / line_bytes; }

std::uint64_t sum_of(const void* bytes, std::size_t size) { return XXH3_64bits(bytes, size); }

// So that differences are finite too.
bool is_sound(double units) {
  return std::isfinite(units) && std::fabs(units) < std::numeric_limits<double>::max() / 4;
}
bool is_sound(const KeptUse::Sum& sum) { return is_sound(sum.units) && is_sound(sum.overhead); }

state::Used between(const KeptUse::Sum& from, const KeptUse::Sum& to) {
  return {.units = to.units - from.units, .overhead = to.overhead - from.overhead};
}

}  // namespace

struct UnreportedFile::Block {
  std::atomic<std::uint64_t> head;
  std::uint64_t sum;  // of what never changes
};

struct UnreportedFile::StayBlock : Block {
  static constexpr std::size_t most_settler = 63;

  std::atomic<std::uint64_t> confirmed;  // the last of the engine's reports that is; 0: none
  // Those that uses have a sum for; 0: none. One of them is `confirmed`, and the other one, where
  // it is greater, is prepared.
  std::array<std::atomic<std::uint64_t>, 2> numbers;
  std::atomic<std::uint64_t> settler_number;  // 0: nobody has tried to settle it
  std::atomic<std::uint64_t> is_owed;
  std::uint64_t settler_size;
  std::array<char, most_settler + 1> settler;
  std::array<std::uint32_t, 2> sizes;  // of the texts that follow: the engine's, the customer's

  char* texts() { return reinterpret_cast<char*>(this + 1); }
  std::size_t text_bytes() const { return std::size_t{sizes[0]} + std::size_t{sizes[1]}; }
  std::string_view engine() { return {texts(), sizes[0]}; }
  std::string_view customer() { return {texts() + sizes[0], sizes[1]}; }
  std::size_t lines() const { return lines_of(sizeof(StayBlock) + text_bytes()); }
  std::uint64_t sum_now() {
    return sum_of(texts(), text_bytes()) ^ sum_of(sizes.data(), sizeof sizes);
  }
  // Which of the numbers the uses are told from, whatever comes of a report that is on its way.
  std::size_t confirmed_index() const { return numbers[0] == confirmed ? 0 : 1; }
};

struct UnreportedFile::UseBlock : Block {
  struct Of {
    std::uint64_t stay;  // its line
    std::int64_t started;
    std::int64_t period;
    std::array<std::uint32_t, 2> sizes;  // of the texts that follow: a name, and a credit's
  };

  KeptUse use;
  Of of;

  char* texts() { return reinterpret_cast<char*>(this + 1); }
  std::size_t text_bytes() const { return std::size_t{of.sizes[0]} + std::size_t{of.sizes[1]}; }
  std::string_view name() { return {texts(), of.sizes[0]}; }
  std::string_view credit() { return {texts() + of.sizes[0], of.sizes[1]}; }
  std::size_t lines() const { return lines_of(sizeof(UseBlock) + text_bytes()); }
  std::uint64_t sum_now() { return sum_of(texts(), text_bytes()) ^ sum_of(&of, sizeof of); }
};

struct UnreportedFile::Names {
  std::string_view name;
  std::string_view credit;
};

class KeptStay {
public:
  explicit KeptStay(std::size_t line) : line_(line) {}

private:
  friend class UnreportedFile;

  const std::size_t line_;
  std::vector<std::size_t> uses_ = {};  // their lines
};

UnreportedFile::UnreportedFile(Settings settings, env::MappedFile file)
    : settings_(std::move(settings)), file_(std::move(file)) {}

UnreportedFile::~UnreportedFile() = default;

// INVARIANT 1: whatever ends a process comes between two instructions, as a signal does; so the
// compiler has to keep the order of stores, and no more.
template <typename T, typename Value>
void UnreportedFile::put(std::atomic<T>& into, Value value) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  into.store(static_cast<T>(value), std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  stored();
}

void UnreportedFile::stored() const {
  if (settings_.after_store) settings_.after_store();
}

// REQUIRES: the block is free still.
template <typename Of>
void UnreportedFile::finish(Of& block, std::uint32_t kind, std::string_view one,
                            std::string_view other) {
  stored();
  one.copy(block.texts(), one.size());
  stored();
  other.copy(block.texts() + one.size(), other.size());
  stored();
  block.sum = block.sum_now();
  stored();
  publish(block, kind, block.lines());
}

template <typename T>
T& UnreportedFile::at(std::size_t line) const {
  return *reinterpret_cast<T*>(file_.data() + line * line_bytes);
}

std::size_t UnreportedFile::line_of(const void* block) const {
  const auto offset = static_cast<const std::byte*>(block) - file_.data();
  return static_cast<std::size_t>(offset) / line_bytes;
}

std::size_t UnreportedFile::lines_in_file() const { return file_.size() / line_bytes; }

std::uint64_t UnreportedFile::head_of(std::uint32_t kind, std::size_t lines,
                                      std::size_t line) const {
  const auto said = (static_cast<std::uint64_t>(lines) << 8U) | kind;
  const std::array<std::uint64_t, 2> whole = {said, line};
  return (sum_of(whole.data(), sizeof whole) << 32U) | said;
}

void UnreportedFile::publish(Block& block, std::uint32_t kind, std::size_t lines) {
  put(block.head, head_of(kind, lines, line_of(&block)));
}

void UnreportedFile::let_go(Block& block) {
  const std::size_t lines = (block.head >> 8U) & 0xFF'FFFFU;
  publish(block, is_free, lines);
  free_[lines].push_back(line_of(&block));
}

// The line of a free block; 0: there is no room.
std::size_t UnreportedFile::allocate(std::size_t lines) {
  if (lines > most_lines) return 0;
  if (const auto found = free_.find(lines); found != free_.end() && !found->second.empty()) {
    const std::size_t line = found->second.back();
    found->second.pop_back();
    return line;
  }
  if (end_ + lines > lines_in_file()) {
    const std::size_t size = file_.size() + chunk_bytes;
    if (size > settings_.max_bytes) return full("it has its largest size");
    if (auto grown = file_.resize(size); !grown.ok()) return full(grown.error().to_string());
  }
  const std::size_t line = std::exchange(end_, end_ + lines);
  publish(at<Block>(line), is_free, lines);
  return line;
}

std::size_t UnreportedFile::full(std::string_view why) {
  if (!std::exchange(was_full_, true) && settings_.log) {
    settings_.log(
        fmt::format("`{}` is full at {} bytes: calls of customers that find no room in it "
                    "are confirmed by the server, each ({})",
                    settings_.path, file_.size(), why));
  }
  return 0;
}

KeptStay* UnreportedFile::begin(std::string_view customer) {
  const std::string_view engine = settings_.engine;
  const std::size_t lines = lines_of(sizeof(StayBlock) + engine.size() + customer.size());
  const std::size_t line = allocate(lines);
  if (line == 0) return nullptr;
  auto& block = at<StayBlock>(line);
  block.confirmed = 0;
  block.numbers[0] = block.numbers[1] = 0;
  block.settler_number = 0;
  block.is_owed = 0;
  block.sizes = {static_cast<std::uint32_t>(engine.size()),
                 static_cast<std::uint32_t>(customer.size())};
  finish(block, is_stay, engine, customer);
  return stays_.try_emplace(line, std::make_unique<KeptStay>(line)).first->second.get();
}

KeptUse* UnreportedFile::keep(KeptStay& stay, std::uint32_t kind, Names names, Timestamp started,
                              Millis period, state::Used used) {
  const std::size_t lines = lines_of(sizeof(UseBlock) + names.name.size() + names.credit.size());
  const std::size_t line = allocate(lines);
  if (line == 0) return nullptr;
  auto& block = at<UseBlock>(line);
  block.use.all.units = used.units;
  block.use.all.overhead = used.overhead;
  for (KeptUse::Sum& sum : block.use.at_report) sum.units = sum.overhead = 0;
  block.of = {.stay = stay.line_,
              .started = started.time_since_epoch().count(),
              .period = period.count(),
              .sizes = {static_cast<std::uint32_t>(names.name.size()),
                        static_cast<std::uint32_t>(names.credit.size())}};
  finish(block, kind, names.name, names.credit);
  stay.uses_.push_back(line);
  return &block.use;
}

KeptUse* UnreportedFile::keep(KeptStay& stay, std::string_view entitlement, std::string_view credit,
                              const state::MeterUse& use) {
  return keep(stay, is_meter, {entitlement, credit}, use.started, use.period, use.used);
}

KeptUse* UnreportedFile::keep(KeptStay& stay, const state::CapUse& use) {
  return keep(stay, is_cap, {use.cap, {}}, use.started, Millis(0), {.units = use.units});
}

void UnreportedFile::report(KeptStay& stay, std::uint64_t number) {
  auto& block = at<StayBlock>(stay.line_);
  // Until the number is there, the one before it is of a report that is confirmed no more than that
  // or was not taken: then it does not matter how much of the use that is not confirmed was in it.
  const std::size_t index = 1 - block.confirmed_index();
  for (const std::size_t line : stay.uses_) {
    KeptUse& use = at<UseBlock>(line).use;
    put(use.at_report[index].units, use.all.units.load());
    put(use.at_report[index].overhead, use.all.overhead.load());
  }
  put(block.numbers[index], number);
}

void UnreportedFile::confirm(KeptStay& stay, bool is_owed) {
  auto& block = at<StayBlock>(stay.line_);
  const std::uint64_t newest = std::max(block.numbers[0].load(), block.numbers[1].load());
  put(block.confirmed, newest);
  if (!is_owed && block.is_owed != 0) put(block.is_owed, 0U);
}

void UnreportedFile::owe(KeptStay& stay) {
  auto& block = at<StayBlock>(stay.line_);
  if (block.is_owed == 0) put(block.is_owed, 1U);
}

void UnreportedFile::settle_by(KeptStay& stay, std::uint64_t number) {
  auto& block = at<StayBlock>(stay.line_);
  put(block.settler_number, 0U);
  block.settler_size = settings_.engine.size();
  settings_.engine.copy(block.settler.data(), block.settler.size());
  stored();
  put(block.settler_number, number);
}

void UnreportedFile::drop_others(KeptStay& stay, std::span<KeptUse* const> present) {
  std::erase_if(stay.uses_, [&](std::size_t line) {
    auto& block = at<UseBlock>(line);
    if (std::find(present.begin(), present.end(), &block.use) != present.end()) return false;
    let_go(block);
    return true;
  });
}

// The stay first: what is of none is nobody's.
void UnreportedFile::end(KeptStay& stay) {
  const std::size_t line = stay.line_;
  let_go(at<StayBlock>(line));
  drop_others(stay, {});
  stays_.erase(line);
}

// Reading what is there.

Result<std::unique_ptr<UnreportedFile>> UnreportedFile::open(Settings settings,
                                                             SymbolTable& names) {
  if (settings.engine.size() > StayBlock::most_settler) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is too long for an engine's name", settings.engine)};
  }
  auto mapped = env::MappedFile::open(settings.path, settings.max_bytes);
  if (!mapped.ok()) return std::move(mapped).error();
  std::unique_ptr<UnreportedFile> file(new UnreportedFile(std::move(settings), *std::move(mapped)));
  if (auto begun = file->begin_file(); !begun.ok()) return std::move(begun).error();
  if (auto read = file->read(names); !read.ok()) return std::move(read).error();
  return file;
}

Error UnreportedFile::damaged(std::size_t line, std::string_view what) const {
  return {.code = ErrorCode::data_corrupt,
          .message = fmt::format("`{}` is damaged at byte {}: {}. Move it away: what it kept stays "
                                 "in doubt",
                                 settings_.path, line * line_bytes, what)};
}

// A file that has nothing yet gets its first line; any other must have it.
Result<void> UnreportedFile::begin_file() {
  const auto is_zero = [](std::byte one) { return one == std::byte{0}; };
  if (std::all_of(file_.data(), file_.data() + file_.size(), is_zero)) {
    if (auto sized = file_.resize(line_bytes); !sized.ok()) return sized;
    put(at<std::atomic<std::uint64_t>>(0), magic);
  }
  if (file_.size() % line_bytes != 0 || at<std::atomic<std::uint64_t>>(0) != magic) {
    return damaged(0, "it is no file of unreported use, or is of another version or machine");
  }
  return {};
}

Result<void> UnreportedFile::read(SymbolTable& names) {
  std::vector<std::size_t> uses;
  if (auto read = read_blocks(uses); !read.ok()) return read;
  for (const std::size_t line : uses) {
    auto& block = at<UseBlock>(line);
    const auto stay = stays_.find(block.of.stay);
    if (stay == stays_.end()) {
      let_go(block);  // Its stay had ended.
    } else {
      stay->second->uses_.push_back(line);
    }
  }
  for (const auto& [line, stay] : stays_) {
    left_.push_back({std::string(at<StayBlock>(line).customer()), unreported_of(*stay, names)});
  }
  // In the order of their places, so that a replay does the same.
  std::sort(left_.begin(), left_.end(), [](const Left& a, const Left& b) {
    return a.unreported.kept->line_ < b.unreported.kept->line_;
  });
  if (!stays_.empty()) return {};
  // Nothing is left: it begins anew, as small as it was at first.
  free_.clear();
  end_ = 1;
  return file_.resize(line_bytes);
}

// Checks all there is before anything is changed.
Result<void> UnreportedFile::read_blocks(std::vector<std::size_t>& uses) {
  while (end_ < lines_in_file()) {
    auto& block = at<Block>(end_);
    const std::uint64_t head = block.head;
    if (head == 0) break;
    const auto kind = static_cast<std::uint32_t>(head & 0xFFU);
    const std::size_t lines = (head >> 8U) & 0xFF'FFFFU;
    const bool is_known = kind >= is_free && kind <= is_cap;
    if (head != head_of(kind, lines, end_) || !is_known || lines == 0 ||
        lines > lines_in_file() - end_) {
      return damaged(end_, "there is no such block");
    }
    Result<void> checked;
    if (kind == is_free) {
      free_[lines].push_back(end_);
    } else if (kind == is_stay) {
      checked = check_stay(static_cast<StayBlock&>(block));
      stays_.try_emplace(end_, std::make_unique<KeptStay>(end_));
    } else {
      checked = check_use(static_cast<UseBlock&>(block));
      uses.push_back(end_);
    }
    if (!checked.ok()) return checked;
    end_ += lines;
  }
  const std::byte* const rest = file_.data() + end_ * line_bytes;
  const std::byte* const file_end = file_.data() + file_.size();
  const auto is_zero = [](std::byte one) { return one == std::byte{0}; };
  const std::byte* const stray = std::find_if_not(rest, file_end, is_zero);
  if (stray == file_end) return {};
  return damaged(end_ + static_cast<std::size_t>(stray - rest) / line_bytes,
                 "there is something where nothing was written");
}

Result<void> UnreportedFile::check_stay(StayBlock& block) const {
  const std::size_t line = line_of(&block);
  const std::size_t lines = (block.head >> 8U) & 0xFF'FFFFU;
  if (lines_of(sizeof(StayBlock)) > lines || block.lines() != lines ||
      block.sum != block.sum_now()) {
    return damaged(line, "it does not say whose use it was");
  }
  const std::uint64_t confirmed = block.confirmed;
  const bool knows_confirmed = block.numbers[0] == confirmed || block.numbers[1] == confirmed;
  if (!knows_confirmed || block.is_owed > 1) {
    return damaged(line, "it does not say what was reported");
  }
  if (block.settler_number != 0 && block.settler_size > StayBlock::most_settler) {
    return damaged(line, "it does not say who has settled it");
  }
  return {};
}

Result<void> UnreportedFile::check_use(UseBlock& block) const {
  const std::size_t line = line_of(&block);
  const std::size_t lines = (block.head >> 8U) & 0xFF'FFFFU;
  if (lines_of(sizeof(UseBlock)) > lines || block.lines() != lines ||
      block.sum != block.sum_now()) {
    return damaged(line, "it does not say what was used");
  }
  const std::array<KeptUse::Sum, 2>& sums = block.use.at_report;
  if (!is_sound(block.use.all) || !is_sound(sums[0]) || !is_sound(sums[1])) {
    return damaged(line, "it has no number of units");
  }
  return {};
}

state::Unreported UnreportedFile::unreported_of(KeptStay& stay, SymbolTable& names) const {
  auto& block = at<StayBlock>(stay.line_);
  const std::size_t confirmed = block.confirmed_index();
  const std::uint64_t prepared = block.numbers[1 - confirmed];
  const bool is_sent = prepared > block.confirmed;
  state::Unreported unreported{.engine = std::string(block.engine()),
                               .report = is_sent ? prepared : block.confirmed.load(),
                               .is_owed = block.is_owed != 0,
                               .is_dead = true,
                               .kept = &stay};
  if (block.settler_number != 0) {
    unreported.settler = {.engine = {block.settler.data(), block.settler_size},
                          .number = block.settler_number};
  }
  const KeptUse::Sum none;
  const auto add = [&](state::Use& to, UseBlock& of, state::Used used) {
    if (used.units == 0 && used.overhead == 0) return;
    const Timestamp started{Millis(of.of.started)};
    const bool is_of_cap = (of.head & 0xFFU) == is_cap;
    if (is_of_cap) {
      to.caps.push_back({std::string(of.name()), started, used.units});
    } else {
      to.meters.push_back({names.intern(of.name()), names.intern(of.credit()), Millis(of.of.period),
                           started, used});
    }
  };
  for (const std::size_t line : stay.uses_) {
    auto& of = at<UseBlock>(line);
    const KeptUse& use = of.use;
    const KeptUse::Sum& before = block.confirmed == 0 ? none : use.at_report[confirmed];
    const KeptUse::Sum& newest = is_sent ? use.at_report[1 - confirmed] : before;
    add(unreported.sent, of, between(before, newest));
    add(unreported.since, of, between(newest, use.all));
  }
  return unreported;
}

}  // namespace limitr::engine
