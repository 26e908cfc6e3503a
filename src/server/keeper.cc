// SPDX-License-Identifier: Apache-2.0
#include "server/keeper.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "server/log.h"

namespace limitr::server {
namespace {

using Body = decltype(wire::Reply::body);
using std::chrono::steady_clock;

template <typename T, typename Then>
Body body_of(Result<T> result, const Then& then) {
  if (!result.ok()) return wire::Failed{std::move(result).error()};
  return then(*std::move(result));
}

}  // namespace

Result<void> Keeper::start(const std::string& project) {
  if (auto rows = rows_of(project); !rows.ok()) return std::move(rows).error();
  thread_ = std::thread([this] { run(); });
  return {};
}

void Keeper::ask(std::string project, Work work, std::size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    asked_.push_back({.project = std::move(project), .work = std::move(work), .bytes = bytes});
  }
  changed_.notify_one();
}

void Keeper::look(std::function<void(std::vector<RowFigures>)> look) {
  add([this, look = std::move(look)] { look(figures()); });
}

void Keeper::with_rows(std::string project, std::function<void(Result<Rows*>)> use) {
  add([this, project = std::move(project), use = std::move(use)] { use(rows_of(project)); });
}

void Keeper::add(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

RowCounts Keeper::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
  RowCounts all;
  for (auto& [project, rows] : rows_) {
    const RowCounts& counts = rows->counts();
    all.commits += counts.commits;
    all.transactions += counts.transactions;
    all.conflicts += counts.conflicts;
    all.customers += counts.customers;
    if (auto closed = rows->close(); !closed.ok()) {
      log(Level::error, "store_not_closed",
          {{"project", project}, {"error", closed.error().to_string()}});
    }
  }
  rows_.clear();
  return all;
}

void Keeper::run() {
  auto next_renewal = steady_clock::now() + renew_every_;
  std::unique_lock lock(mutex_);
  while (!stop_ || !asked_.empty() || !jobs_.empty()) {
    const auto has_some = [this] { return stop_ || !asked_.empty() || !jobs_.empty(); };
    if (renew_every_ > Millis(0)) {
      changed_.wait_until(lock, next_renewal, has_some);
    } else {
      changed_.wait(lock, has_some);
    }
    std::vector<Asked> asked = std::exchange(asked_, {});
    std::vector<Job> jobs = std::exchange(jobs_, {});
    lock.unlock();
    if (renew_every_ > Millis(0) && steady_clock::now() >= next_renewal) {
      renew();
      next_renewal = steady_clock::now() + renew_every_;
    }
    if (!asked.empty()) work(std::move(asked));
    for (const Job& job : jobs) job();
    lock.lock();
  }
}

void Keeper::work(std::vector<Asked> asked) {
  std::vector<Finished> finished;
  std::map<std::string, std::vector<Asked*>> exchanges;
  for (Asked& one : asked) {
    if (std::holds_alternative<wire::Exchange>(one.work.what)) {
      exchanges[one.project].push_back(&one);
    }
  }
  for (const auto& [project, each] : exchanges) exchange(project, each, finished);
  // Before the others, which are not so urgent.
  if (!finished.empty()) hooks_.deliver(std::exchange(finished, {}));
  for (Asked& one : asked) {
    if (std::holds_alternative<wire::Exchange>(one.work.what)) continue;
    finished.push_back({.project = one.project,
                        .session = one.work.session,
                        .n = one.work.n,
                        .bytes = one.bytes,
                        .answer = answer(one.project, one.work)});
  }
  if (!finished.empty()) hooks_.deliver(std::move(finished));
}

void Keeper::exchange(const std::string& project, const std::vector<Asked*>& asked,
                      std::vector<Finished>& finished) {
  std::vector<store::Transaction> all;
  std::vector<std::size_t> sizes;
  std::vector<SessionId> from;
  for (Asked* one : asked) {
    auto& transactions = std::get<wire::Exchange>(one->work.what).transactions;
    sizes.push_back(transactions.size());
    from.insert(from.end(), transactions.size(), one->work.session);
    std::ranges::move(transactions, std::back_inserter(all));
  }
  Result<Rows*> rows = rows_of(project);
  auto exchanged = [&]() -> Result<std::vector<store::Exchanged>> {
    if (!rows.ok()) return std::move(rows).error();
    const auto began = steady_clock::now();
    auto done = (*rows)->exchange(std::move(all), from);
    hooks_.exchanged(steady_clock::now() - began);
    std::optional<Error> failure;
    if (!done.ok()) failure = done.error();
    if (done.ok() && !done->empty()) failure = done->back().failure;
    note(**rows, failure);
    return done;
  }();
  std::size_t at = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    Finished one{.project = project,
                 .session = asked[i]->work.session,
                 .n = asked[i]->work.n,
                 .bytes = asked[i]->bytes,
                 .answer = {}};
    if (exchanged.ok()) {
      const auto first = std::next(exchanged->begin(), static_cast<std::ptrdiff_t>(at));
      const auto last = std::next(first, static_cast<std::ptrdiff_t>(sizes[i]));
      one.answer = wire::Exchangeds{{std::move_iterator(first), std::move_iterator(last)}};
    } else {
      one.answer = wire::Failed{exchanged.error()};
    }
    at += sizes[i];
    finished.push_back(std::move(one));
  }
  if (!rows.ok()) return;
  if (auto changed = (*rows)->take_changed(); !changed.empty())
    hooks_.tell({project, std::move(changed)});
}

Body Keeper::answer(const std::string& project, Work& work) {
  Result<Rows*> found = rows_of(project);
  if (!found.ok()) return wire::Failed{std::move(found).error()};
  Rows& rows = **found;
  if (const auto* read = std::get_if<wire::Read>(&work.what)) {
    return body_of(rows.read(read->ids), [](std::vector<store::StoredCustomer> all) -> Body {
      return wire::Rows{.rows = std::move(all)};
    });
  }
  if (const auto* scan = std::get_if<wire::Scan>(&work.what)) {
    return body_of(rows.scan(scan->after, scan->limit), [](RowPage page) -> Body {
      return wire::Rows{.rows = std::move(page.rows), .more = page.has_more};
    });
  }
  if (const auto* estimates = std::get_if<wire::Estimates>(&work.what)) {
    if (!estimates->text) {
      return body_of(rows.estimates(), [](std::optional<std::string> text) -> Body {
        return wire::Estimates{std::move(text)};
      });
    }
    auto put = rows.put_estimates(*estimates->text);
    if (!put.ok()) return wire::Failed{std::move(put).error()};
    return wire::Estimates{};
  }
  return wire::Failed{
      {.code = ErrorCode::invalid_argument, .message = "this is not asked of the rows"}};
}

Result<Rows*> Keeper::rows_of(const std::string& project) {
  if (const auto found = rows_.find(project); found != rows_.end()) return found->second.get();
  auto made = hooks_.make_rows(project);
  if (!made.ok()) return std::move(made).error();
  if (auto opened = (*made)->open(); !opened.ok()) return std::move(opened).error();
  const Millis every = (*made)->renew_every();
  if (every > Millis(0) && (renew_every_ == Millis(0) || every < renew_every_)) {
    renew_every_ = every;
  }
  return rows_.emplace(project, *std::move(made)).first->second.get();
}

void Keeper::note(const Rows& rows, const std::optional<Error>& failure) {
  const bool is_failing = failure && failure->code != ErrorCode::invalid_argument;
  if (is_failing != is_failing_) {
    is_failing_ = is_failing;
    if (is_failing) {
      log(Level::error, "store_failed", {{"error", failure->to_string()}});
    } else {
      log(Level::info, "store_recovered");
    }
  }
  if (rows.is_taken_over() && failure) hooks_.taken_over(*failure);
}

void Keeper::renew() {
  for (auto& [project, rows] : rows_) {
    if (auto renewed = rows->renew(); !renewed.ok()) note(*rows, renewed.error());
  }
}

std::vector<RowFigures> Keeper::figures() {
  std::vector<RowFigures> all;
  for (auto& [project, rows] : rows_) {
    const auto status = rows->status();
    all.push_back({.project = project,
                   .counts = rows->counts(),
                   .customers = status.ok() ? status->customers : 0});
  }
  return all;
}

}  // namespace limitr::server
