// SPDX-License-Identifier: Apache-2.0
#include "env/descriptor.h"

#include <cerrno>
#include <system_error>

#include <unistd.h>

#include <fmt/format.h>

namespace limitr::env {

Descriptor::~Descriptor() {
  if (number_ > STDERR_FILENO) ::close(number_);
}

Error io_error(std::string_view what, const std::filesystem::path& file) {
  return {.code = ErrorCode::io_failed,
          .message = fmt::format("cannot {}: {}", what, std::generic_category().message(errno)),
          .where = file.string()};
}

}  // namespace limitr::env
