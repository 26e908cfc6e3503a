// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/messages.h"

// How a server tells another one what is wanted of its engines: as notices of PostgreSQL, which
// hold less than 8000 bytes each.
namespace limitr::server {

struct PeerRecall {
  std::string project;
  wire::HomeOf homes;
};

/// The pieces in which it is sent, in one transaction with others of other numbers: "3.0/2:{..." is
/// the first of two of the recall 3. Of equal notices in a transaction PostgreSQL sends but one,
/// so none is like another.
std::vector<std::string> notices_of(const PeerRecall& recall, std::size_t number);

/// Puts pieces together again. PostgreSQL sends those of one transaction in their order, and no
/// others between them.
class RecallNotices {
public:
  /// The recall, when this was its last piece. What makes no sense is passed over, and so is a
  /// recall whose first pieces are missing: whoever wants customers asks again.
  std::optional<PeerRecall> add(std::string_view piece);

private:
  std::string text_;
  std::size_t number_ = 0;
  std::size_t next_ = 0;
};

}  // namespace limitr::server
