// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include <limitr/limitr.h>
#include <limitr/options.h>
#include <limitr/result.h>
#include "open/stored.h"
#include "state/record.h"

// All that a store holds, on its way to a text and into another store.
namespace limitr {

/// What became of an export.
struct Exported {
  std::uint64_t customers = 0;
  std::uint64_t requests = 0;
  std::vector<Error> damage = {};  ///< What was left out, or is not whole.
};

/// Writes everything that the store holds to `write`, piece by piece, in the form that
/// Limitr::load_customers() takes. `write` and `progress`, which is told how many customers are
/// done, end it with an error. Remembered requests wait in a file without a name until all
/// customers are out. Errors also: io_failed.
Result<Exported> export_store(StoredState& stored,
                              const std::function<Result<void>(std::string_view)>& write,
                              const std::function<Result<void>(std::uint64_t)>& progress);

/// How an import is done.
struct ImportOptions {
  bool replace = false;  ///< Puts records in the place of customers that are there.
};

/// Loads an export, a map of records or a list of them into an engine, batch by batch. A customer
/// that is there already is refused (invalid_argument), with its requests, unless it is to be
/// replaced. Takes memory for a batch, and for what the engine keeps. Errors: as load_customers();
/// what was loaded until then stays.
Result<LoadReport> import_records(Limitr& limitr, const state::TextSource& source,
                                  const ImportOptions& options);

}  // namespace limitr
