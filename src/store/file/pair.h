// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <limitr/result.h>

#include "env/descriptor.h"
#include "store/file/contents.h"
#include "store/file/file_system.h"

// The two files as of one moment.
//
// INVARIANTS, which the writer keeps and a reader builds on:
// 1. Each file gets its name when all of it is on the disk. The JSON never changes after that; the
//    journal only grows, or loses again what never became a frame.
// 2. A journal names the JSON that it changes, by generation and seal. The JSON of the next
//    generation, in which all of its frames are, gets its name before the next journal does, and
//    before the journal goes.
// So a journal of an earlier generation than the JSON beside it has nothing to say; and one of a
// later generation, or none where there was one, comes with a JSON that is there by now.
namespace limitr::store::file {

struct Pair {
  Contents contents;
  std::vector<std::string> damage = {};  ///< Found just now.
  bool is_there = false;                 ///< Else there is neither file yet.
  Mark json;
  Mark journal;
  std::string json_text;  ///< Both as they were found; kept for what was damaged.
  std::string journal_text;
  /// Held open, so that no other file gets their numbers.
  std::shared_ptr<env::Descriptor> files[2];
};

std::string journal_of(const std::string& path);
/// Where files in which damage was found are kept; its generation is added.
std::string kept_of(const std::string& path);

/// Reads both. With `keeps`, damage names the copies that the caller is going to keep. Errors:
/// data_corrupt, where they do not belong together, or it is not known what was written;
/// invalid_argument, where it is no store's file; store_unavailable.
Result<Pair> read_pair(FileSystem& files, const std::string& path, bool keeps);

}  // namespace limitr::store::file
