// SPDX-License-Identifier: Apache-2.0
#include "open/open_store.h"

#include <string>

#include <fmt/format.h>

#include "store/memory_store.h"

namespace limitr {

Result<std::unique_ptr<store::Store>> store_at(std::string_view url) {
  const std::size_t colon = url.find(':');
  const std::string_view kind = url.substr(0, colon);
  if (colon == std::string_view::npos) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is no store: it begins with its kind, as in "
                                        "memory:",
                                        url)};
  }
  const std::string_view rest = url.substr(colon + 1);
  if (kind == "memory") return store::memory_store(std::string(rest));
  return Error{.code = ErrorCode::invalid_argument,
               .message = fmt::format("`{}`: there is no store of the kind `{}`", url, kind)};
}

}  // namespace limitr
