// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/result.h>

#include "store/file/contents.h"

// The JSON of a store: an export as any engine loads it, and in its last line what the store knows
// besides. docs/stores.md has it for users.
//
//   {"format":1,"customers":{
//   "ann":{...}
//   },"estimates":{...},"requests":[
//   {"customer":"ann",...}
//   ],"policy":{...},
//   "store":{"sum":"0123456789abcdef","body":{...}}}
//
// The body is proven by the sum, and says of every text where it stands and what its sum is: so
// what is damaged is known, and one damaged byte says nothing of the rest. A text that is no JSON,
// which no engine writes, stands in the body itself.
namespace limitr::store::file {

constexpr std::uint32_t schema_version = 1;
/// What exports say, and load_customers() reads.
constexpr int portable_format = 1;

struct Document {
  std::string text;
  std::uint64_t seal = 0;  ///< The sum of its body: which state this is, and no other.
};

Document to_document(const Contents& contents);

struct ReadDocument {
  Contents contents;
  std::uint64_t seal = 0;
  bool is_sealed = false;                ///< Not of a file that was made or changed by hand.
  std::vector<std::string> damage = {};  ///< What was not what was written, found just now.
};

/// Reads a file's text. Without its last member it is one that somebody made or changed by hand,
/// and is taken as it stands. `kept` is where damage says that the file can be found, with its
/// generation added; empty: nowhere. Errors: data_corrupt; invalid_argument, where it is no store's
/// file at all, or one of a later version.
Result<ReadDocument> read_document(std::string_view text, const std::string& path,
                                   const std::string& kept);

/// A file without its last member.
Result<ReadDocument> read_portable(std::string_view text, const std::string& path);

/// data_corrupt: the last member is damaged, or something else is by it. The records may all be
/// there, but nothing proves that any more: whether they are good enough is for the user to say.
Error unproven(const std::string& path, std::string_view what);

}  // namespace limitr::store::file
