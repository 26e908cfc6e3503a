// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "state/customer.h"
#include "state/family.h"

// What a call changes, as plain data. Each move of a meter, cap, grant or voucher is both a delta
// and the value it results in: it can be written as a record, or added to another base.
namespace limitr::state {

struct MeterMove {
  Family::Index customer = Family::caller;
  Symbol entitlement = Symbol::empty;
  Symbol credit = Symbol::empty;
  bool began_period = false;  ///< Also a meter's first: its rate history starts empty.
  bool noted = false;         ///< The call goes into the rate history, as `call`.
  Timestamp started = {};
  double value_delta = 0;  ///< Against the value of the period it falls in.
  double value = 0;
  double overhead_delta = 0;
  MaybeAmount overhead = {};
  MaybeAmount ewma_rate = {};
  History::Entry call = {};
};

struct GovernorMove {
  Family::Index customer = Family::caller;
  Symbol entitlement = Symbol::empty;
  double tokens_delta = 0;  ///< What the call took; refilling is not a move.
  MaybeAmount tokens;
  MaybeTime last_refill;
};

struct CapMove {
  Family::Index customer = Family::caller;
  std::string cap;
  double delta = 0;
  double meter_value = 0;
  Timestamp started;
  MaybeTime last_reset;
};

struct CapRemoval {
  Family::Index customer = Family::caller;
  std::string cap;
};

struct GrantMove {
  Family::Index customer = Family::caller;
  double delta = 0;
  Grant after;
};

struct GrantRemoval {
  Family::Index customer = Family::caller;
  std::string grant;
  double delta = 0;  ///< Minus the balance that went with it.
};

/// `limitr_voucher_runes` in a customer's metadata.
struct VoucherMove {
  Family::Index customer = Family::caller;
  double delta = 0;
  double runes = 0;
};

struct HoldAdded {
  Family::Index customer = Family::caller;
  Symbol entitlement = Symbol::empty;
  Hold hold;
};

struct HoldRemoval {
  Family::Index customer = Family::caller;
  Symbol entitlement = Symbol::empty;
  std::string hold;
};

struct OverrideRemoval {
  Family::Index customer = Family::caller;
  Symbol entitlement = Symbol::empty;
};

/// What was kept under an entitlement's old name now stands under its new one.
struct Rename {
  Family::Index customer = Family::caller;
  Symbol from = Symbol::empty;
  Symbol to = Symbol::empty;
};

/// What a meter learned.
struct EstimateMove {
  Family::Index customer = Family::caller;
  Symbol entitlement = Symbol::empty;
  EstimateStats after;
};

using Move = std::variant<CapMove, CapRemoval, GrantMove, GrantRemoval, VoucherMove, HoldAdded,
                          HoldRemoval, OverrideRemoval, Rename, EstimateMove>;

/// Moves in the order in which they are applied. Most calls have none but their meter's: then a
/// list is one empty pointer.
class Moves {
public:
  Moves() = default;
  Moves(std::initializer_list<Move> moves) : list_(new List(moves)) {}
  Moves(const Moves& other) : list_(other.list_ ? new List(*other.list_) : nullptr) {}
  Moves(Moves&&) noexcept = default;
  Moves& operator=(Moves other) noexcept {
    list_.swap(other.list_);
    return *this;
  }
  ~Moves() = default;

  bool empty() const { return list_ == nullptr || list_->empty(); }
  std::size_t size() const { return list_ == nullptr ? 0 : list_->size(); }
  const Move& operator[](std::size_t i) const { return (*list_)[i]; }
  const Move* begin() const { return list_ == nullptr ? nullptr : list_->data(); }
  const Move* end() const { return begin() + size(); }
  void push_back(Move move) { list().push_back(std::move(move)); }
  void append(Moves more) {
    for (std::size_t i = 0; i < more.size(); ++i) push_back(std::move((*more.list_)[i]));
  }

private:
  using List = std::vector<Move>;
  // Elsewhere, so that a call without moves only asks whether there are any.
  struct Destroy {
    void operator()(List* list) const;
  };

  List& list() {
    if (list_ == nullptr) list_.reset(new List());
    return *list_;
  }

  std::unique_ptr<List, Destroy> list_;
};

/// All that one call changes, in the order in which it is applied. A plain call allocates nothing.
struct Changes {
  std::optional<MeterMove> meter;
  std::optional<GovernorMove> governor;
  Moves moves;

  bool empty() const { return !meter && !governor && moves.empty(); }
};

/// Puts the changes in place. INVARIANT: applying decided changes to the state they were decided
/// on cannot fail.
void apply(const Changes& changes, Family& family);
void apply(const Moves& moves, Family& family);

/// The changes as JSON text: `{at, request, changes: [{type, customer, ...}]}`, customers by ID.
std::string encode(const Changes& changes, const Family& family, const SymbolTable& names,
                   Timestamp at, std::string_view request);

}  // namespace limitr::state
