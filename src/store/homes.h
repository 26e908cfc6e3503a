// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/result.h>
#include <limitr/time.h>

namespace limitr::store {

struct StoredCustomer;

/// A customer, and the engine that it is at home with.
struct Home {
  std::string engine;
  std::string customer;
};

/// What a shared store offers engines that answer calls of customers by themselves while they are
/// alone with them. docs/protocol.md has the rules, and why they hold. Threads: any.
class Homes {
public:
  virtual ~Homes() = default;
  Homes(const Homes&) = delete;
  Homes& operator=(const Homes&) = delete;

  /// The incarnation of this engine: no two are ever the same.
  virtual std::string_view engine() const = 0;
  /// Whether customers at home here may be decided on without asking: the lease runs, by a clock
  /// that runs on in suspend.
  virtual bool is_leased() const = 0;
  /// Whether the store can be reached now, as far as is known.
  virtual bool is_connected() const = 0;
  /// That clock, and a way to let it run on.
  virtual Millis running_time() const = 0;
  virtual void pause(Millis time) = 0;
  /// Whether the engine's own thread is left out: whoever runs a simulation does its work.
  virtual bool is_stepped() const { return false; }
  /// How much of a hard limit or cap may be set aside.
  virtual double room_share() const = 0;
  /// What a call gets that cannot be confirmed, as there is no connection: a denial, or an answer
  /// from what is known here.
  virtual bool denies_unconnected() const = 0;
  /// The path of a file of this process, in which what it has answered and not reported outlives
  /// it; empty: none.
  virtual std::string local_file() const { return {}; }
  /// Has those engines asked to give these customers back, and tells which of them are lost.
  /// Errors: store_unavailable.
  virtual Result<std::vector<std::string>> recall(std::span<const Home> homes) = 0;
  /// Rows that this engine has written and others since, as they were when the store told so: what
  /// came since this was last called, no more than some hundred.
  virtual std::vector<StoredCustomer> take_changed() = 0;
  /// What is called, by a thread of the store, with the customers at home here that others ask for.
  /// Null: nothing. Not running any more when this returns.
  virtual void on_recall(std::function<void(std::vector<std::string> customers)> handler) = 0;

protected:
  Homes() = default;
};

}  // namespace limitr::store
