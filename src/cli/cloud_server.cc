// SPDX-License-Identifier: Apache-2.0
#include "cli/cloud_server.h"

namespace limitr::cli {

Result<Json> ask_server(const CloudUse& use, std::string_view, const Json&) {
  return Error{.code = ErrorCode::unconnected,
               .message = "`" + use.address + "` cannot be reached"};
}

}  // namespace limitr::cli
