// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include <limitr/result.h>
#include "server/hub.h"
#include "server/rows.h"

// The one thread that reads and writes rows.
//
//   all that waits:  the exchanges of each project, as one  --->  each answered
//                    then what else was asked
//
// While a store takes one batch the next one gathers: the slower the store, the more share a
// commit.
namespace limitr::server {

/// The answer to a Work.
struct Finished {
  std::string project;
  SessionId session = 0;
  std::uint64_t n = 0;
  std::size_t bytes = 0;  ///< As they were given to ask().
  decltype(wire::Reply::body) answer;
};

/// What engines of a project are to be told without being asked.
struct ProjectChanged {
  std::string project;
  std::vector<ChangedFor> changed;
};

struct RowFigures {
  std::string project;
  RowCounts counts;
  std::uint64_t customers = 0;
};

struct KeeperHooks {
  std::function<Result<std::unique_ptr<Rows>>(const std::string& project)> make_rows;
  // Called by the keeper's thread:
  std::function<void(std::vector<Finished>)> deliver;
  std::function<void(ProjectChanged)> tell;
  std::function<void(std::chrono::nanoseconds)> exchanged;  ///< How long a batch has taken.
  std::function<void(const Error&)> taken_over;             ///< Somebody else has a store of ours.
};

class Keeper {
public:
  explicit Keeper(KeeperHooks hooks) : hooks_(std::move(hooks)) {}
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  ~Keeper() { stop(); }

  /// Opens the rows of a project, then begins. Errors: those of Store::open().
  Result<void> start(const std::string& project);
  /// Threads: any. `bytes`: how large it is.
  void ask(std::string project, Work work, std::size_t bytes);
  /// Threads: any. `look` is called by the keeper's thread.
  void look(std::function<void(std::vector<RowFigures>)> look);
  /// Threads: any. `use` is called by the keeper's thread, after what is more urgent.
  void with_rows(std::string project, std::function<void(Result<Rows*>)> use);
  /// Finishes what was asked, closes, and says what was written in all. Threads: one.
  RowCounts stop();

private:
  struct Asked {
    std::string project;
    Work work;
    std::size_t bytes = 0;
  };
  using Job = std::function<void()>;

  void add(Job job);
  void run();
  void work(std::vector<Asked> asked);
  void exchange(const std::string& project, const std::vector<Asked*>& asked,
                std::vector<Finished>& finished);
  decltype(wire::Reply::body) answer(const std::string& project, Work& work);
  Result<Rows*> rows_of(const std::string& project);
  void note(const Rows& rows, const std::optional<Error>& failure);
  void renew();
  std::vector<RowFigures> figures();

  const KeeperHooks hooks_;
  std::map<std::string, std::unique_ptr<Rows>> rows_;
  Millis renew_every_{0};
  bool is_failing_ = false;  // that was logged
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Asked> asked_;
  std::vector<Job> jobs_;
  bool stop_ = false;
};

}  // namespace limitr::server
