// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/result.h>

#include "store/file/contents.h"
#include "store/store.h"

// The bytes of PATH.journal. docs/stores.md has them for users.
//
//   journal = header frame*
//   header  = "limitrJ1" generation seal sum
//   frame   = "limitrF1" size(index) size(body) group sum index body
//
// Numbers are of eight bytes, the lowest first; a text is its size and its bytes. The index names
// all that the group changes, each with the size and the sum of its part of the body, so that a
// part that is damaged is known by whose it is. Sums go also over the journal's seal and the
// frame's place in it: no frame counts anywhere else.
namespace limitr::store::file {

/// Which state of all a journal's frames change: that of this generation, in the file of this seal.
struct JournalHeader {
  std::uint64_t generation = 0;
  std::uint64_t seal = 0;
  friend bool operator==(const JournalHeader&, const JournalHeader&) = default;
};

constexpr char journal_version = '1';

std::string to_bytes(const JournalHeader& header);
/// None: it is not what was written.
std::optional<JournalHeader> read_header(std::string_view journal);
/// The version that bytes say they are a journal of, where it is a later one.
std::optional<char> later_version(std::string_view journal);

/// A group as a frame that begins at this place of the journal.
std::string to_frame(const Group& group, std::uint64_t seal, std::uint64_t at);

/// Applies the frames of a journal to the contents that its header names. What a broken end leaves
/// is the state before it. Gives what was not what was written, and could be told from the rest.
/// `kept` is where that says that the journal can be found; empty: nowhere. Errors: data_corrupt: a
/// frame in the middle cannot be read, and nobody knows whom it changed.
Result<std::vector<std::string>> replay(std::string_view journal, const std::string& path,
                                        const std::string& kept, std::uint64_t seal,
                                        Contents& contents);

}  // namespace limitr::store::file
