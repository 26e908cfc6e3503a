// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include <limitr/result.h>
#include "base/symbols.h"
#include "env/mapped_file.h"
#include "state/cloud.h"

// What an engine has answered and not reported, in a file, so that it outlives a process that is
// killed. It is written as memory: no call asks the system for anything.
//
//   file   one line (64 bytes) that says what it is; then blocks of whole lines, to the first that
//          was never used: from there on all is zero
//   block  its head, 8 bytes: what it is, how many lines it has, and a sum of both and its place.
//          What never changes in it has a sum too
//   stay   an engine's with one customer: who they are, and which of its reports the use of it can
//          be told from
//   use    of a meter or cap, in one period, in a stay: all of it since the block was made, and how
//          much that was at each of two reports
//
// Numbers are as the machine has them: the file is of no use to another one.
//
// INVARIANTS
// 1. A process may end between any two stores: the file says what was answered until then. Each
//    change is decided by one store of eight bytes or less, and those that prepare it come before.
// 2. What was used after report r is all use less what it was at r, for r the last one that the
//    store has confirmed and for the one that is prepared. Which of both the store has is said by
//    the record there. (docs/protocol.md, 9)
// 3. A block is let go of when the store has confirmed all that it says.
namespace limitr::engine {

/// What was used of one meter or cap. Written by whoever has the customer's shard.
struct KeptUse {
  struct Sum {
    std::atomic<double> units{0};
    std::atomic<double> overhead{0};
  };

  void add(double units, double overhead) {
    all.units.store(all.units.load(std::memory_order_relaxed) + units, std::memory_order_release);
    if (overhead == 0) return;
    all.overhead.store(all.overhead.load(std::memory_order_relaxed) + overhead,
                       std::memory_order_release);
  }

  Sum all;
  std::array<Sum, 2> at_report;  // as of the stay's numbers
};

class KeptStay;

/// Threads: one at a time.
class UnreportedFile {
public:
  static constexpr std::size_t most_bytes = std::size_t{1} << 30U;

  struct Settings {
    std::string path;
    std::string engine;  ///< The incarnation that is going to write. At most 63 bytes.
    std::size_t max_bytes = most_bytes;
    std::function<void(std::string_view)> log = {};
    std::function<void()> after_store =
        {};  ///< For tests: called after each store but those of use.
  };
  struct Left {
    std::string customer;
    state::Unreported unreported;
  };

  /// Errors: those of MappedFile::open(); data_corrupt, which names the place of what is damaged:
  /// nothing has changed.
  static Result<std::unique_ptr<UnreportedFile>> open(Settings settings, SymbolTable& names);
  ~UnreportedFile();
  UnreportedFile(const UnreportedFile&) = delete;
  UnreportedFile& operator=(const UnreportedFile&) = delete;

  /// What engines before this one have left. Called once.
  std::vector<Left> take_left() { return std::exchange(left_, {}); }
  /// How many stays there are, those that were left included.
  std::size_t stays() const { return stays_.size(); }
  /// Nothing is written any more, and others may have the file. Not called twice.
  void close() { file_.unlock(); }

  /// The customer may be used from now on. Null: there is no room in the file.
  KeptStay* begin(std::string_view customer);
  /// Keeps use of a meter or cap, beginning with what was used and not reported. Null likewise.
  KeptUse* keep(KeptStay& stay, std::string_view entitlement, std::string_view credit,
                const state::MeterUse& use);
  KeptUse* keep(KeptStay& stay, const state::CapUse& use);
  /// A report is prepared that brings all that was used until now. The one before is confirmed, or
  /// certainly not taken.
  void report(KeptStay& stay, std::uint64_t number);
  /// The last report is confirmed; `is_owed`: something was used without room after it.
  void confirm(KeptStay& stay, bool is_owed);
  /// Something was used without room.
  void owe(KeptStay& stay);
  /// It is going to be settled by that transaction of this engine.
  void settle_by(KeptStay& stay, std::uint64_t number);
  /// Lets go of use that is none of these, and is confirmed.
  void drop_others(KeptStay& stay, std::span<KeptUse* const> present);
  /// Lets go of a stay.
  void end(KeptStay& stay);

private:
  struct Block;
  struct StayBlock;
  struct UseBlock;
  struct Names;

  UnreportedFile(Settings settings, env::MappedFile file);

  template <typename T, typename Value>
  void put(std::atomic<T>& into, Value value);
  void stored() const;
  template <typename Of>
  void finish(Of& block, std::uint32_t kind, std::string_view one, std::string_view other);
  template <typename T>
  T& at(std::size_t line) const;
  std::size_t line_of(const void* block) const;
  std::size_t lines_in_file() const;
  std::uint64_t head_of(std::uint32_t kind, std::size_t lines, std::size_t line) const;
  void publish(Block& block, std::uint32_t kind, std::size_t lines);
  void let_go(Block& block);
  std::size_t allocate(std::size_t lines);
  std::size_t full(std::string_view why);
  KeptUse* keep(KeptStay& stay, std::uint32_t kind, Names names, Timestamp started, Millis period,
                state::Used used);

  Result<void> begin_file();
  Result<void> read(SymbolTable& names);
  Result<void> read_blocks(std::vector<std::size_t>& uses);
  Result<void> check_stay(StayBlock& block) const;
  Result<void> check_use(UseBlock& block) const;
  state::Unreported unreported_of(KeptStay& stay, SymbolTable& names) const;
  Error damaged(std::size_t line, std::string_view what) const;

  const Settings settings_;
  env::MappedFile file_;
  std::size_t end_ = 1;  // the first line that was never used
  bool was_full_ = false;
  absl::flat_hash_map<std::size_t, std::vector<std::size_t>> free_;    // lines of blocks by size
  absl::flat_hash_map<std::size_t, std::unique_ptr<KeptStay>> stays_;  // by line
  std::vector<Left> left_;
};

}  // namespace limitr::engine
