// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/json.h>
#include <limitr/result.h>
#include "server/rows.h"

// What is in doubt in the rows of one project, and its release: docs/protocol.md, In doubt.
namespace limitr::server {

/// Rows of one page of a scan that engines may have left something in.
struct DoubtfulRows {
  std::vector<store::StoredCustomer> rows;
  std::string after;  ///< Where the next page begins.
  bool has_more = false;
};

/// `with_homes`: those that are at home with an engine, too. Errors: those of Rows::scan().
Result<DoubtfulRows> read_doubtful(Rows& rows, const std::string& after, bool with_homes);
/// Only that customer. Errors also: invalid_argument, where it is not there.
Result<DoubtfulRows> read_doubtful_of(Rows& rows, const std::string& customer);

/// Engines that these rows may be at home with, as their text has it.
std::vector<std::string> homes_in(const DoubtfulRows& page);

/// Engines that are known not to come back with their lease.
using IsLost = std::function<bool(std::string_view engine)>;
inline bool nobody_is_lost(std::string_view) { return false; }

struct ListOptions {
  std::size_t limit = 100;       ///< Customers at most.
  std::size_t engines_away = 0;  ///< That may answer from their copies.
};

/// The answer to `in_doubt_list`: what is in doubt of these rows, the room of homes that are lost
/// counted in.
Json list_in_doubt(const DoubtfulRows& page, const IsLost& is_lost, const ListOptions& options);

struct Released {
  std::string customer;              ///< Its own ID.
  std::vector<std::string> engines;  ///< Whose entries were released, one for each entry.
  /// Whose home was taken away, though nobody says that it is lost: its room is in doubt until it
  /// reports.
  std::optional<std::string> interrupted = {};
};
Json json_of(const Released& released);

/// The engine that is the customer's home; empty: none. Errors: those of Rows::read();
/// invalid_argument: there is no such customer; record_invalid, data_corrupt.
Result<std::string> home_of(Rows& rows, const std::string& customer);
/// Releases what is in doubt of the customer: that engine's, or all where `engine` is empty. A home
/// of `engine`, or of `lost`, becomes an entry, and is released as one. Nothing is written where
/// there is nothing to release. Errors as home_of(); store_unavailable: not written, also where
/// others were faster again and again; outcome_unknown: to ask again does no harm.
Result<Released> release_in_doubt(Rows& rows, const std::string& customer,
                                  const std::string& engine, const std::string& lost);

/// Of the arguments of a message; empty: not given.
std::string text_in(const Json& args, const char* name);
std::size_t limit_of(const Json& args);
/// The same as a running server does it, for whoever has the store; `what` as in its messages.
/// `owner`: who that is, while the store is written to. Errors also: those of opening the store,
/// store_owned among them.
Result<Json> run_in_doubt(const std::string& store_url, const store::Owner& owner,
                          std::string_view what, const Json& args);

/// The sum of a project.
struct InDoubtFigures {
  struct Units {
    double meters = 0;
    double caps = 0;
    Units& operator+=(const Units& more) {
      meters += more.meters;
      caps += more.caps;
      return *this;
    }
  };

  std::size_t customers = 0;  ///< Of whom something is in doubt and not released.
  Units units;
  Units released;
  std::map<std::string, Units, std::less<>> engines;  ///< The first of them, if they are many.

  void add(const DoubtfulRows& page);
};
Json json_of(const InDoubtFigures::Units& units);

}  // namespace limitr::server
