// SPDX-License-Identifier: Apache-2.0
#include "store/redis/cluster_store.h"

#include <algorithm>
#include <atomic>
#include <bitset>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "store/redis/calls.h"
#include "store/redis/cluster.h"
#include "store/redis/intent.h"
#include "store/redis/rows.h"
#include "store/redis/slots.h"

// A customer and all that is kept of it are in the slot of its ID; an alternate ID is in its own,
// and counts only where the row of the customer that it leads to has it. What there is once (who
// owns, the texts, which slots are used) is in the meta slot.
//
// INVARIANTS:
// 1. A group of an owner is written when its intent is: by one script of the meta slot, which sees
//    that the store is still its writer's. Its parts are applied afterwards, and the next intent is
//    written only when all are. Whoever opens to write finishes the intent that is there.
// 2. A slot takes a part only if the group is above the last one that it took, `last_group` of
//    its key `owner`. So a part that comes late, from whomever, changes nothing.
// 3. A transaction of a sharer is in one slot, and written by one script there, which sees that the
//    slot's `epoch` is not above the one that the sharer opened in. An owner who comes after
//    sharers raises it in every slot that is used, before he reads anything; and a slot is noted as
//    used, by a script that sees that the store is not owned, before a sharer writes to it.
// 4. In this process nobody reads while parts are applied, nor after that has failed.
// 5. Who takes both mutexes takes the writer's first.
namespace limitr::store::redis {
namespace {

using std::chrono::steady_clock;
using Slots = std::bitset<slot_count>;

constexpr std::size_t staged_at_once = 4'000'000;  // bytes of an intent, in one script
constexpr std::size_t transactions_at_once = 64;   // in one script
constexpr std::size_t exchange_bytes_at_once = 1'000'000;
constexpr std::size_t ids_at_once = 1'000;
constexpr std::size_t rows_at_once = 500;
constexpr Millis scan_lease{60'000};  // how long visiting one page may take

/// What a string of Redis says bit by bit, the highest of a byte first.
Slots slots_in(std::string_view bits) {
  Slots slots;
  for (std::size_t slot = 0; slot < slot_count && slot / 8 < bits.size(); ++slot) {
    const auto byte = static_cast<unsigned char>(bits[slot / 8]);
    slots[slot] = ((byte >> (7 - slot % 8)) & 1U) != 0;
  }
  return slots;
}

std::vector<Slot> list_of(const Slots& slots) {
  std::vector<Slot> list;
  for (std::size_t slot = 0; slot < slot_count; ++slot) {
    if (slots[slot]) list.push_back(static_cast<Slot>(slot));
  }
  return list;
}

/// The slot of a transaction; none where it has no parts, or two that are in different slots.
struct Place {
  std::optional<Slot> slot;
  std::optional<std::pair<std::string, std::string>> apart;  // IDs of different slots
};

Place place_of(const Transaction& transaction) {
  Place place;
  std::string first;
  const auto add = [&](const std::string& id) {
    const Slot slot = slot_of(id);
    if (!place.slot) {
      place.slot = slot;
      first = id;
    } else if (slot != *place.slot && !place.apart) {
      place.apart = std::pair(first, id);
    }
  };
  for (const Part& part : transaction.parts) {
    add(part.id);
    if (!part.write) continue;
    for (const std::string& alt : part.write->alt_ids) add(alt);
  }
  return place;
}

/// How much there is in some slots.
struct Sums {
  std::uint64_t customers = 0;
  std::uint64_t requests = 0;
  std::uint64_t last_group = 0;
  std::map<Slot, std::uint64_t> last_groups = {};
  Slots there;  // those that have been written to
  bool misses_some = false;
};

class ClusterStore final : public Store {
public:
  explicit ClusterStore(const RedisOptions& options)
      : options_(options),
        meta_base_(fmt::format("{0}:{{{0}}}", options.prefix)),
        meta_slot_(slot_of(options.prefix)) {}
  ~ClusterStore() override { shut(/*for_good=*/true); }

  Result<Opened> open(Access access, const Owner& owner) override {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(reader_mutex_);
    is_open_ = is_shared_ = is_owned_ = writer_failed_ = false;
    writer_.reset();
    reader_.reset();
    Result<Opened> opened = open_cluster(access, owner);
    if (opened.ok()) {
      is_open_ = true;
      is_torn_ = false;
      return opened;
    }
    writer_.reset();
    return without_outcome(std::move(opened).error());
  }

  Result<void> commit(const Group& group) override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return closed();
    if (!group.customers.empty() && is_shared_) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = "customers of a store that is shared are exchanged"};
    }
    Result<void> committed = write_group(group);
    if (!committed.ok()) give_up();
    return committed;
  }

  std::optional<Error> refusal(const Transaction& transaction) const override {
    const Place where = place_of(transaction);
    if (!where.apart) return std::nullopt;
    return Error{
        .code = ErrorCode::invalid_argument,
        .message = fmt::format(
            "`{}` and `{}` are in different slots of the Redis Cluster at `{}`, where what is "
            "shared is written within one slot: give both IDs the same tag, as in `{{team}}a` and "
            "`{{team}}b`",
            where.apart->first, where.apart->second, place())};
  }

  Result<std::vector<Exchanged>> exchange(std::span<const Transaction> transactions) override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return closed();
    if (!is_shared_) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = "who owns the store commits groups"};
    }
    if (transactions.size() > most_transactions) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("{} transactions are more than the {} of one exchange",
                                          transactions.size(), most_transactions)};
    }
    for (const Transaction& transaction : transactions) {
      if (auto refused = refusal(transaction)) return *std::move(refused);
    }
    Result<std::vector<Exchanged>> exchanged = exchange_all(transactions);
    if (!exchanged.ok()) give_up();
    return exchanged;
  }

  Result<void> renew() override {
    const std::lock_guard writing(writer_mutex_);
    if (!writer_) return is_open_ && !writer_failed_ ? Result<void>() : closed();
    renewed_ = steady_clock::now();
    Result<void> renewed = must_be_ok(writer_->run(renewal()), place());
    if (renewed.ok()) {
      if (is_owned_) look_for_losses(*writer_);
      return renewed;
    }
    give_up();
    return without_outcome(std::move(renewed).error());
  }

  bool has_lost() override {
    const std::lock_guard writing(writer_mutex_);
    return std::exchange(has_lost_, false);
  }

  Result<std::uint64_t> last_group() override {
    std::uint64_t last = 0;
    const auto ask = [&](Cluster& cluster) -> Result<void> {
      const Result<Answer> answer = cluster.run(meta_call(Script::status));
      if (!answer.ok()) return answer.error();
      if (answer->size() == 9) last = number_in((*answer)[2]);
      return {};
    };
    if (auto asked = with_reader(ask); !asked.ok()) return std::move(asked).error();
    return last;
  }

  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids) override {
    std::vector<StoredCustomer> found;
    std::set<std::string> seen;
    for (std::size_t from = 0; from < ids.size(); from += ids_at_once) {
      const auto some = ids.subspan(from, std::min(ids_at_once, ids.size() - from));
      const auto add = [&](Cluster& cluster) { return read_some(cluster, some, seen, found); };
      if (auto read = with_reader(add); !read.ok()) return std::move(read).error();
    }
    return found;
  }

  // With connections of its own: it may take long, and `visit` may read.
  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(StoredCustomer)>& visit) override {
    Cluster cluster(options_, map_, /*is_writing=*/false);
    Result<Scan> begun = Scan();
    {
      // What is applied now is seen whole, or not at all.
      const std::unique_lock reading = lock_to_read();
      if (auto can = can_read(); !can.ok()) return can;
      begun = begin_scan(cluster);
    }
    if (!begun.ok()) return without_outcome(std::move(begun).error());
    Result<void> scanned = scan_rows(cluster, *begun, after, visit);
    // What has failed is ended by its lease.
    if (!scanned.ok()) return without_outcome(std::move(scanned).error());
    std::vector<Call> ends;
    for (const auto& [slot, scan] : begun->numbers) {
      ends.push_back(call_in(slot, Script::scan_end));
      ends.back().arguments.add(scan);
    }
    [[maybe_unused]] const auto ended = cluster.run(ends);
    return scanned;
  }

  Result<Status> status() override {
    Status status;
    const auto ask = [&](Cluster& cluster) -> Result<void> {
      const Result<Answer> answer = cluster.run(meta_call(Script::status));
      if (!answer.ok()) return answer.error();
      status.kind = "redis_cluster";
      if (answer->size() == 9) {
        status.schema = static_cast<std::uint32_t>(number_in((*answer)[1]));
        status.last_group = number_in((*answer)[2]);
        if ((*answer)[5].text() == "1") status.owner = owner_in(*answer, 6);
      }
      const Result<Slots> used = used_slots(cluster);
      if (!used.ok()) return used.error();
      const Result<Sums> sums = sums_of(cluster, *used);
      if (!sums.ok()) return sums.error();
      status.customers = sums->customers;
      status.requests = sums->requests;
      const Result<Software> software = cluster.software();
      if (!software.ok()) return software.error();
      status.software = "Redis " + software->version;
      status.bytes = software->used_memory;
      auto weaker = cluster.weakness();
      if (!weaker.ok()) return std::move(weaker).error();
      status.weaker = *std::move(weaker);
      return {};
    };
    if (auto asked = with_reader(ask); !asked.ok()) return std::move(asked).error();
    return status;
  }

  Result<void> close() override {
    shut(/*for_good=*/false);
    return {};
  }

private:
  // A scan in each slot that has customers.
  struct Scan {
    std::map<Slot, std::string> numbers;
    std::vector<std::string> ids;  // in their order
  };

  std::string place() const { return redis::place_of(options_); }

  Error closed() const {
    return {
        .code = ErrorCode::store_unavailable,
        .message = fmt::format("the store at `{}` is not open{}", place(),
                               writer_failed_ ? ": open it again after its failure" : " to write")};
  }

  Call meta_call(Script script) const {
    return {.slot = meta_slot_, .script = script, .base = meta_base_};
  }

  Call call_in(Slot slot, Script script) const {
    return {.slot = slot, .script = script, .base = base_of(options_.prefix, slot)};
  }

  Call meta_command(std::string_view name, std::string_view key) const {
    Call call{.slot = meta_slot_, .script = std::nullopt, .base = {}};
    call.arguments.add(name).add(fmt::format("{}:{}", meta_base_, key));
    return call;
  }

  Call renewal() const {
    Call call = meta_call(Script::renew);
    call.arguments.add(holder_).add(name_).add(options_.lease.count());
    call.arguments.add(is_shared_ ? sharer_ : "");
    return call;
  }

  Result<Opened> open_cluster(Access access, const Owner& owner) {
    auto cluster = std::make_unique<Cluster>(options_, map_, access != Access::read);
    if (auto learnt = cluster->learn(); !learnt.ok()) return std::move(learnt).error();
    if (access != Access::read) {
      if (auto connected = cluster->connect_all(); !connected.ok()) {
        return std::move(connected).error();
      }
    }
    const std::int64_t since = owner.since.time_since_epoch().count();
    Call call = meta_call(Script::open);
    call.arguments.add(access == Access::own ? "own" : access == Access::share ? "share" : "read");
    call.arguments.add(name_ + ":" + random_name()).add(name_).add(options_.lease.count());
    call.arguments.add(owner.host).add(owner.process).add(since).add("cluster");
    renewed_ = steady_clock::now();
    const Result<Answer> answer = cluster->run(call);
    if (!answer.ok()) return answer.error();
    Result<Opened> opened = read_opened(*answer, meta_base_, place());
    if (!opened.ok()) return opened;
    holder_ = (*answer)[3].text();
    is_owned_ = access == Access::own;
    is_shared_ = access == Access::share;
    sharer_ = fmt::format(" {} {} {}", owner.process, since, owner.host);
    if (auto ready = get_ready(*cluster, access, *opened); !ready.ok()) {
      return std::move(ready).error();
    }
    opened->weaker = cluster->weaker();
    if (access == Access::read) {
      reader_ = std::move(cluster);
    } else {
      writer_ = std::move(cluster);
      opened->renew_every = options_.lease / 3;
    }
    return opened;
  }

  // What is known of the slots once.
  struct Known {
    std::string home;  // the node that had the meta slot when somebody last opened to write
    bool was_shared = false;
    Intent intent = {};
  };

  Result<Known> read_known(Cluster& cluster) {
    Call fields = meta_command("HMGET", "owner");
    fields.arguments.add("epoch").add("is_shared").add("home");
    Call list = meta_command("LRANGE", "intent");
    list.arguments.add("0").add("-1");
    const Call calls[] = {std::move(fields), meta_command("GET", "used"), std::move(list)};
    const std::vector<Result<Answer>> answers = cluster.run(calls);
    for (const auto& answer : answers) {
      if (!answer.ok()) return answer.error();
    }
    const Value about = answers[0]->value();
    if (about.size() != 3) return Known();
    epoch_ = number_in(about[0]);
    used_ = slots_in(answers[1]->value().text());
    Result<Intent> intent = read_intent(answers[2]->value(), place());
    if (!intent.ok()) return std::move(intent).error();
    return Known{.home = std::string(about[2].text()),
                 .was_shared = about[1].text() == "1",
                 .intent = *std::move(intent)};
  }

  // What whoever opens has to find, and whoever writes has to finish.
  Result<void> get_ready(Cluster& cluster, Access access, Opened& opened) {
    const Result<Known> known = read_known(cluster);
    if (!known.ok()) return known.error();
    const Intent& intent = known->intent;
    const bool owns = access == Access::own;
    const bool ends_sharing = owns && known->was_shared;
    std::uint64_t last = owns ? opened.last_group : 0;
    if (access != Access::read && intent.group != 0) {
      if (auto applied = apply(cluster, intent.group, intent.parts); !applied.ok()) return applied;
    }
    // A replica that took over may not have got which slots are used.
    const std::string home = map_.name_of_master(meta_slot_);
    const bool has_moved = !known->home.empty() && known->home != home;
    Slots looked_at = used_;
    if (has_moved) looked_at.set();
    for (const auto& [slot, group] : taken_) looked_at.set(slot);
    const std::uint64_t changes = map_.changes();
    const Result<Sums> sums = sums_of(cluster, looked_at, /*skips_unreachable=*/!owns);
    if (!sums.ok()) return sums.error();
    if (owns) changes_seen_ = changes;
    const Slots forgotten = sums->there & ~used_;
    used_ |= sums->there;
    for (const auto& [slot, group] : sums->last_groups) note_taken(slot, group);
    opened.customers = sums->customers;
    if (access == Access::read) return {};
    if (ends_sharing) {
      const Result<std::uint64_t> above = fence_sharers(cluster);
      if (!above.ok()) return above.error();
      last = std::max(last, *above);
    }
    if (owns) opened.last_group = last = std::max(last, sums->last_group);
    const bool is_settled = !owns && intent.group == 0 && known->home == home && forgotten.none();
    if (is_settled) return {};
    Call settle = meta_call(Script::settle);
    settle.arguments.add(holder_).add(last).add(ends_sharing ? "1" : "0");
    settle.arguments.add(intent.group == 0 ? std::string() : std::to_string(intent.group));
    // One who shares and did not see all leaves the question to the next one.
    settle.arguments.add(has_moved && sums->misses_some ? known->home : home);
    for (const Slot slot : list_of(forgotten)) settle.arguments.add(std::uint64_t{slot});
    return must_be_ok(cluster.run(settle), place());
  }

  // INVARIANT 3. Gives a number above all that they have written.
  Result<std::uint64_t> fence_sharers(Cluster& cluster) const {
    std::vector<Call> calls;
    for (const Slot slot : list_of(used_)) {
      calls.push_back(call_in(slot, Script::fence));
      calls.back().arguments.add(epoch_);
    }
    std::uint64_t above = 0;
    for (const Result<Answer>& answer : cluster.run(calls)) {
      if (!answer.ok()) return answer.error();
      if (answer->size() == 2) above = std::max(above, number_in((*answer)[1]));
    }
    return above;
  }

  Result<Slots> used_slots(Cluster& cluster) const {
    const Result<Answer> answer = cluster.run(meta_command("GET", "used"));
    if (!answer.ok()) return answer.error();
    return slots_in(answer->value().text());
  }

  Result<Sums> sums_of(Cluster& cluster, const Slots& used, bool skips_unreachable = false) const {
    std::vector<Call> calls;
    for (const Slot slot : list_of(used)) {
      Call& call = calls.emplace_back(Call{.slot = slot, .script = std::nullopt, .base = {}});
      call.arguments.add("HMGET").add(base_of(options_.prefix, slot) + ":owner");
      call.arguments.add("customers").add("requests").add("last_group");
    }
    Sums sums;
    const std::vector<Result<Answer>> answers = cluster.run(calls);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const Result<Answer>& answer = answers[i];
      if (!answer.ok()) {
        const bool is_away = answer.error().code != ErrorCode::data_corrupt;
        if (!skips_unreachable || !is_away) return answer.error();
        sums.misses_some = true;
        continue;
      }
      const Value fields = answer->value();
      if (fields.size() != 3) continue;
      if (fields[0].is_text() || fields[2].is_text()) sums.there.set(calls[i].slot);
      sums.customers += number_in(fields[0]);
      sums.requests += number_in(fields[1]);
      sums.last_groups[calls[i].slot] = number_in(fields[2]);
      sums.last_group = std::max(sums.last_group, number_in(fields[2]));
    }
    return sums;
  }

  /// REQUIRES: the writer's mutex is held, and there is a writer.
  Result<void> write_group(const Group& group) {
    const std::map<Slot, Command> parts = parts_of(group);
    std::vector<std::string> intent;
    std::size_t bytes = 0;
    Slots now_used = used_;
    Command fresh;
    if (!parts.empty()) intent.push_back(std::to_string(group.number));
    for (const auto& [slot, part] : parts) {
      intent.push_back(intent_of(slot, group.number, part));
      bytes += intent.back().size();
      if (used_[slot]) continue;
      fresh.add(std::uint64_t{slot});
      now_used.set(slot);
    }
    const bool is_staged = bytes > staged_at_once;
    Call call = meta_call(Script::intend);
    call.arguments.add(holder_).add(options_.lease.count()).add(is_shared_ ? 0 : group.number);
    call.arguments.add(group.estimates ? text_row("estimates", *group.estimates) : "");
    call.arguments.add(group.policy ? text_row("policy", *group.policy) : "");
    call.arguments.add(is_staged ? "1" : "0").add(std::uint64_t{fresh.count()}).add_all(fresh);
    if (is_staged) {
      // Nothing of the group counts before the intent is there under its name.
      if (auto staged = stage(intent); !staged.ok()) {
        return without_outcome(std::move(staged).error());
      }
    } else {
      for (const std::string& element : intent) call.arguments.add(element);
    }
    renewed_ = steady_clock::now();
    if (auto intended = must_be_ok(writer_->run(call), place()); !intended.ok()) return intended;
    used_ = now_used;
    if (parts.empty()) return {};
    // Readers who come one after the other must not keep it waiting.
    wants_to_apply_ = true;
    std::unique_lock reading(reader_mutex_);
    is_torn_ = true;
    Result<void> applied = apply(*writer_, group.number, parts);
    if (applied.ok()) is_torn_ = false;
    wants_to_apply_ = false;
    reading.unlock();
    may_read_.notify_all();
    if (applied.ok()) return applied;
    // It is written, and whoever opens next, which the caller has to do, applies the rest.
    Error error = std::move(applied).error();
    error.code = ErrorCode::outcome_unknown;
    return error;
  }

  Result<void> stage(const std::vector<std::string>& intent) {
    bool is_first = true;
    for (std::size_t i = 0; i < intent.size();) {
      Call call = meta_call(Script::stage);
      call.arguments.add(holder_).add(std::exchange(is_first, false) ? "1" : "0");
      do {
        call.arguments.add(intent[i++]);
      } while (i < intent.size() && call.arguments.bytes() + intent[i].size() < staged_at_once);
      if (auto staged = must_be_ok(writer_->run(call), place()); !staged.ok()) return staged;
    }
    return {};
  }

  // INVARIANT 2: those that were applied already change nothing.
  Result<void> apply(Cluster& cluster, std::uint64_t group, const std::map<Slot, Command>& parts) {
    std::vector<Call> calls;
    std::size_t bytes = 0;
    for (const auto& [slot, part] : parts) {
      calls.push_back(call_in(slot, Script::apply));
      calls.back().arguments.add_all(part);
      bytes += part.bytes();
    }
    // What takes a server 20 us, and one that is busy with other things some 100; by some 100
    // bytes.
    const Millis longer(static_cast<std::int64_t>(bytes / 1'000));
    const std::vector<Result<Answer>> answers = cluster.run(calls, longer);
    std::vector<Call> drops;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const Result<Answer>& answer = answers[i];
      if (!answer.ok()) return answer.error();
      if (answer->size() != 3) continue;
      note_taken(calls[i].slot, number_in((*answer)[2]));
      note_taken(calls[i].slot, group);
      const Value dropped = (*answer)[1];
      for (std::size_t j = 0; j < dropped.size(); ++j) add_drops(dropped[j], group, drops);
    }
    // What stays behind leads nowhere.
    if (!drops.empty()) [[maybe_unused]]
      const auto ignored = cluster.run(drops);
    return {};
  }

  // Slots that have another master may have lost what the last one had not passed on. Where that
  // cannot be seen now, it is looked for again.
  void look_for_losses(Cluster& cluster) {
    if (!cluster.learn().ok() || map_.changes() == changes_seen_) return;
    const std::uint64_t changes = map_.changes();
    Slots slots;
    for (const auto& [slot, group] : taken_) slots.set(slot);
    const Result<Sums> sums = sums_of(cluster, slots);
    if (!sums.ok()) return;
    for (const auto& [slot, group] : sums->last_groups) note_taken(slot, group);
    changes_seen_ = changes;
  }

  // Groups only rise, so a slot that is behind what we know of it has lost some.
  void note_taken(Slot slot, std::uint64_t group) {
    std::uint64_t& taken = taken_[slot];
    if (group < taken) has_lost_ = true;
    taken = group;
  }

  /// dropped: an ID, and its alternate IDs before and after.
  void add_drops(const Value& dropped, std::uint64_t group, std::vector<Call>& drops) const {
    if (dropped.size() != 3) return;
    const std::string_view id = dropped[0].text();
    const std::vector<std::string_view> kept = alts_in(dropped[2].text());
    for (const std::string_view alt : alts_in(dropped[1].text())) {
      const bool is_kept = std::find(kept.begin(), kept.end(), alt) != kept.end();
      if (is_kept || slot_of(alt) == slot_of(id)) continue;
      drops.push_back(call_in(slot_of(alt), Script::drop_alts));
      drops.back().arguments.add(group).add(alt).add(id);
    }
  }

  // The transactions of one exchange, in calls of a slot each.
  struct Chunks {
    std::vector<Call> calls;
    std::vector<std::vector<std::size_t>> transactions;  // of each call
    Slots touched;
  };

  /// Those that have no part are written as they are: in `all`.
  Chunks chunks_of(std::span<const Transaction> transactions, std::vector<Exchanged>& all) const {
    Chunks chunks;
    std::map<Slot, std::size_t> open_chunks;
    const std::uint64_t clock = clock_.version();
    for (std::size_t i = 0; i < transactions.size(); ++i) {
      const Transaction& transaction = transactions[i];
      const std::optional<Slot> slot = place_of(transaction).slot;
      if (!slot) {
        all[i].is_written = true;
        continue;
      }
      chunks.touched.set(*slot);
      const auto found = open_chunks.find(*slot);
      const bool has_room = found != open_chunks.end() &&
                            chunks.transactions[found->second].size() < transactions_at_once &&
                            chunks.calls[found->second].arguments.bytes() < exchange_bytes_at_once;
      if (!has_room) {
        open_chunks[*slot] = chunks.calls.size();
        chunks.transactions.emplace_back();
        Call& call = chunks.calls.emplace_back(call_in(*slot, Script::slot_exchange));
        call.arguments.add(epoch_).add(name_).add(transaction.number <= last_number_ ? "1" : "0");
        call.arguments.add("").add("");
      }
      const std::size_t at = open_chunks[*slot];
      add_transaction(chunks.calls[at].arguments, transaction, clock, /*is_in_cluster=*/true);
      chunks.transactions[at].push_back(i);
    }
    return chunks;
  }

  /// REQUIRES: as write_group().
  Result<std::vector<Exchanged>> exchange_all(std::span<const Transaction> transactions) {
    std::vector<Exchanged> all(transactions.size());
    Chunks chunks = chunks_of(transactions, all);
    if (auto marked = mark(chunks.touched); !marked.ok()) return std::move(marked).error();
    const auto now = steady_clock::now();
    const bool renews = now - renewed_ > options_.lease / 4;
    if (renews) {
      renewed_ = now;
      chunks.calls.push_back(renewal());
    }
    // From now on any of these may be there.
    for (const Transaction& transaction : transactions) {
      last_number_ = std::max(last_number_, transaction.number);
    }
    const std::vector<Result<Answer>> answers = writer_->run(chunks.calls);
    if (auto failed = failure_of(answers)) return *std::move(failed);
    for (std::size_t i = 0; i < chunks.transactions.size(); ++i) {
      const std::vector<std::size_t>& asked = chunks.transactions[i];
      if (!answers[i].ok()) {
        for (const std::size_t one : asked) all[one].failure = answers[i].error();
        continue;
      }
      const Answer& answer = *answers[i];
      if (answer.size() != 3 || answer[1].size() != asked.size()) {
        return Error{.code = ErrorCode::outcome_unknown,
                     .message = fmt::format("`{}` answers with less than it was asked", place())};
      }
      for (std::size_t j = 0; j < asked.size(); ++j) {
        all[asked[j]] = read_exchanged(answer[1][j], place());
      }
      clock_.heard(answer[2]);
    }
    return all;
  }

  /// What an exchange as a whole has failed with, if it has: where a node could not be reached,
  /// only what is there has failed. As soon as another call was run, nobody knows what is there.
  std::optional<Error> failure_of(const std::vector<Result<Answer>>& answers) const {
    std::optional<Error> failure;
    bool any_done = false;
    for (const Result<Answer>& answer : answers) {
      if (!answer.ok()) {
        const ErrorCode code = answer.error().code;
        if (code == ErrorCode::store_unavailable) continue;
        if (!failure || code == ErrorCode::outcome_unknown) failure = answer.error();
      } else if (answer->word() == "fenced") {
        if (!failure) {
          failure = Error{
              .code = ErrorCode::store_fenced,
              .message = fmt::format("another engine has taken over the store at `{}`", place())};
        }
      } else {
        any_done = true;
      }
    }
    if (failure && any_done) failure->code = ErrorCode::outcome_unknown;
    return failure;
  }

  // INVARIANT 3.
  Result<void> mark(const Slots& touched) {
    const Slots fresh = touched & ~used_;
    if (fresh.none()) return {};
    Call call = meta_call(Script::mark);
    call.arguments.add(holder_);
    for (const Slot slot : list_of(fresh)) call.arguments.add(std::uint64_t{slot});
    Result<void> marked = must_be_ok(writer_->run(call), place());
    if (!marked.ok()) return without_outcome(std::move(marked).error());
    used_ |= fresh;
    return {};
  }

  std::unique_lock<std::mutex> lock_to_read() {
    std::unique_lock reading(reader_mutex_);
    may_read_.wait(reading, [this] { return !wants_to_apply_; });
    return reading;
  }

  /// REQUIRES: the readers' mutex is held.
  Result<void> can_read() const {
    if (!is_open_) return closed();
    if (!is_torn_) return {};
    return Error{.code = ErrorCode::store_unavailable,
                 .message = fmt::format("a group is written to `{}` in part: open the store again, "
                                        "which writes the rest",
                                        place())};
  }

  Result<void> with_reader(const std::function<Result<void>(Cluster&)>& ask) {
    const std::unique_lock reading = lock_to_read();
    if (auto can = can_read(); !can.ok()) return can;
    if (!reader_) reader_ = std::make_unique<Cluster>(options_, map_, /*is_writing=*/false);
    Result<void> asked = ask(*reader_);
    if (asked.ok()) return asked;
    return without_outcome(std::move(asked).error());
  }

  // Alternate IDs may lead to other slots, which are asked in a second step.
  Result<void> read_some(Cluster& cluster, std::span<const std::string> ids,
                         std::set<std::string>& seen, std::vector<StoredCustomer>& found) const {
    std::map<std::string, std::string> elsewhere;  // alternate IDs, with whom they lead to
    std::vector<std::string> asked(ids.begin(), ids.end());
    for (const bool is_again : {false, true}) {
      const std::vector<Result<Answer>> answers = cluster.run(reads_of(asked));
      std::map<std::string, std::string> next;
      for (const Result<Answer>& answer : answers) {
        if (!answer.ok()) return answer.error();
        if (answer->size() != 2) continue;
        const Value rows = (*answer)[1];
        for (std::size_t i = 0; i < rows.size(); ++i) {
          if (rows[i].size() == 5) take_row(rows[i], is_again, elsewhere, next, seen, found);
        }
      }
      if (next.empty() || is_again) break;
      elsewhere = std::move(next);
      asked.clear();
      for (const auto& [alt, id] : elsewhere) asked.push_back(id);
      std::sort(asked.begin(), asked.end());
      asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
    }
    return {};
  }

  std::vector<Call> reads_of(const std::vector<std::string>& ids) const {
    std::map<Slot, Call> by_slot;
    for (const std::string& id : ids) {
      const Slot slot = slot_of(id);
      const auto call = by_slot.try_emplace(slot, call_in(slot, Script::slot_read)).first;
      call->second.arguments.add(id);
    }
    std::vector<Call> calls;
    for (auto& [slot, call] : by_slot) calls.push_back(std::move(call));
    return calls;
  }

  void take_row(const Value& row, bool is_again,
                const std::map<std::string, std::string>& elsewhere,
                std::map<std::string, std::string>& next, std::set<std::string>& seen,
                std::vector<StoredCustomer>& found) const {
    const std::string asked(row[0].text());
    const std::string_view alt = row[1].text();
    std::string id(row[2].text());
    const std::string_view text = row[3].text();
    if (!alt.empty() && !leads_to(asked, alt, id)) {
      StoredCustomer unknown{.id = asked};
      unknown.damage =
          Error{.code = ErrorCode::data_corrupt,
                .message = fmt::format("the key `{}:a:{}` at `{}` is not what was written",
                                       base_of(options_.prefix, slot_of(asked)), asked, place())};
      found.push_back(std::move(unknown));
      return;
    }
    if (!alt.empty() && text.empty()) {
      // One that leads to a customer who is not there leads nowhere.
      if (!is_again && slot_of(id) != slot_of(asked)) next.emplace(asked, std::move(id));
      return;
    }
    if (!alt.empty() && !may_have(text, asked)) return;
    if (is_again) {
      const bool is_meant = std::any_of(elsewhere.begin(), elsewhere.end(), [&](const auto& one) {
        return one.second == id && may_have(text, one.first);
      });
      if (!alt.empty() || !is_meant) return;
    }
    if (!seen.insert(id).second) return;
    found.push_back(read_customer_row(id, text, row[4], place()));
  }

  // REQUIRES: the readers' mutex is held.
  Result<Scan> begin_scan(Cluster& cluster) const {
    const Result<Slots> used = used_slots(cluster);
    if (!used.ok()) return used.error();
    const std::vector<Slot> slots = list_of(*used);
    std::vector<Call> calls;
    for (const Slot slot : slots) {
      calls.push_back(call_in(slot, Script::slot_scan_begin));
      calls.back().arguments.add(scan_lease.count());
    }
    const std::vector<Result<Answer>> answers = cluster.run(calls);
    Scan scan;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (!answers[i].ok()) return answers[i].error();
      const Answer& answer = *answers[i];
      if (answer.word() != "ok" || answer.size() != 3) {
        return Error{
            .code = ErrorCode::data_corrupt,
            .message = fmt::format(
                "`{}` has lost keys: {} of {} customers of slot {} are there; restore a backup",
                place(), answer.size() > 2 ? answer[1].text() : "not all",
                answer.size() > 2 ? answer[2].text() : "its", slots[i])};
      }
      if (answer[1].text().empty()) continue;
      scan.numbers.emplace(slots[i], answer[1].text());
      const Value ids = answer[2];
      for (std::size_t j = 0; j < ids.size(); ++j) scan.ids.emplace_back(ids[j].text());
    }
    std::sort(scan.ids.begin(), scan.ids.end());
    return scan;
  }

  Result<void> scan_rows(Cluster& cluster, const Scan& scan,
                         const std::optional<std::string>& after,
                         const std::function<bool(StoredCustomer)>& visit) const {
    auto renewed = steady_clock::now();
    const auto first = after ? std::ranges::upper_bound(scan.ids, *after) : scan.ids.begin();
    const std::span<const std::string> ids(first, scan.ids.end());
    for (std::size_t from = 0; from < ids.size(); from += rows_at_once) {
      const auto now = steady_clock::now();
      if (now - renewed > scan_lease / 4) {
        renewed = now;
        if (auto kept = renew_scan(cluster, scan); !kept.ok()) return kept;
      }
      const std::size_t count = std::min(rows_at_once, ids.size() - from);
      const std::vector<Call> calls = rows_of(scan, ids.subspan(from, count));
      const Result<bool> goes_on = visit_rows(cluster.run(calls), visit);
      if (!goes_on.ok()) return goes_on.error();
      if (!*goes_on) break;
    }
    return {};
  }

  std::vector<Call> rows_of(const Scan& scan, std::span<const std::string> ids) const {
    std::map<Slot, Call> by_slot;
    for (const std::string& id : ids) {
      const Slot slot = slot_of(id);
      const auto [call, is_new] = by_slot.try_emplace(slot, call_in(slot, Script::slot_scan_rows));
      if (is_new) call->second.arguments.add(scan.numbers.at(slot)).add("0");
      call->second.arguments.add(id);
    }
    std::vector<Call> calls;
    for (auto& [slot, call] : by_slot) calls.push_back(std::move(call));
    return calls;
  }

  /// Whether more is wanted.
  Result<bool> visit_rows(const std::vector<Result<Answer>>& answers,
                          const std::function<bool(StoredCustomer)>& visit) const {
    std::vector<Value> rows;
    for (const Result<Answer>& answer : answers) {
      if (!answer.ok()) return answer.error();
      if (answer->word() != "ok" || answer->size() != 2) return ended();
      const Value some = (*answer)[1];
      for (std::size_t i = 0; i < some.size(); ++i) {
        if (some[i].size() == 3) rows.push_back(some[i]);
      }
    }
    std::ranges::sort(rows, {}, [](const Value& row) { return row[0].text(); });
    return std::ranges::all_of(rows, [&](const Value& row) {
      return visit(read_customer_row(row[0].text(), row[1].text(), row[2], place()));
    });
  }

  Result<void> renew_scan(Cluster& cluster, const Scan& scan) const {
    std::vector<Call> calls;
    for (const auto& [slot, number] : scan.numbers) {
      calls.push_back(call_in(slot, Script::slot_scan_rows));
      calls.back().arguments.add(number).add(scan_lease.count());
    }
    for (const Result<Answer>& answer : cluster.run(calls)) {
      if (!answer.ok()) return answer.error();
      if (answer->word() != "ok") return ended();
    }
    return {};
  }

  Error ended() const {
    return {.code = ErrorCode::store_unavailable,
            .message = fmt::format("the scan at `{}` was ended: nothing was asked for during {} ms",
                                   place(), scan_lease.count())};
  }

  /// REQUIRES: the writer's mutex is held.
  void give_up() {
    writer_.reset();
    writer_failed_ = true;
  }

  // Whoever cannot be told now learns it from the lease.
  void shut(bool for_good) {
    const std::lock_guard writing(writer_mutex_);
    const std::lock_guard reading(reader_mutex_);
    if (writer_) {
      Call call = meta_call(Script::close);
      call.arguments.add(is_owned_ ? holder_ : "").add(name_).add(for_good ? "1" : "0");
      [[maybe_unused]] const auto told = writer_->run(call);
    }
    writer_.reset();
    reader_.reset();
    writer_failed_ = is_open_ = is_owned_ = is_shared_ = is_torn_ = false;
  }

  const RedisOptions options_;
  const std::string meta_base_;
  const Slot meta_slot_;
  const std::string name_ = random_name();  // of this writer, over all reopening
  SlotMap map_;

  std::mutex writer_mutex_;
  std::unique_ptr<Cluster> writer_;
  std::string holder_;  // `holder` as it was when we opened
  std::string sharer_;  // who we are, as it stands in `sharers`
  std::uint64_t epoch_ = 0;
  Slots used_;                           // those that are surely noted as used
  std::map<Slot, std::uint64_t> taken_;  // the last group of each slot, as far as known
  bool has_lost_ = false;                // since it was last asked
  std::uint64_t changes_seen_ = 0;       // of the map, when losses were last looked for
  bool is_owned_ = false;
  bool is_shared_ = false;
  std::uint64_t last_number_ = 0;  // of the transactions that may be there
  ServerClock clock_;              // of whichever node has answered last
  steady_clock::time_point renewed_;

  std::mutex reader_mutex_;
  std::condition_variable may_read_;
  std::atomic<bool> wants_to_apply_ = false;
  std::unique_ptr<Cluster> reader_;
  bool is_torn_ = false;  // guarded by reader_mutex_: some parts of a group are applied
  std::atomic<bool> is_open_ = false;
  std::atomic<bool> writer_failed_ = false;
};

}  // namespace

std::unique_ptr<Store> cluster_store(const RedisOptions& options) {
  return std::make_unique<ClusterStore>(options);
}

}  // namespace limitr::store::redis
