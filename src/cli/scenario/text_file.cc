// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/text_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "env/descriptor.h"

namespace limitr::scenario {
namespace {

using env::Descriptor;

bool is_standard_input(const std::filesystem::path& file) { return file == "-"; }

Error io_error(std::string_view what, const std::filesystem::path& file) {
  return env::io_error(what, shown_name(file));
}

Error too_large(const std::filesystem::path& file, std::size_t max_bytes) {
  return {.code = ErrorCode::document_too_large,
          .message = fmt::format("the file is larger than {} bytes", max_bytes),
          .where = shown_name(file)};
}

Result<std::string> read_all(const Descriptor& in, const std::filesystem::path& file,
                             std::size_t max_bytes) {
  std::string text;
  std::string block(std::size_t{64} << 10U, '\0');
  while (true) {
    const ssize_t count = ::read(in.number(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("read", file);
    if (count == 0) return text;
    text.append(block, 0, static_cast<std::size_t>(count));
    if (text.size() > max_bytes) return too_large(file, max_bytes);
  }
}

}  // namespace

std::string shown_name(const std::filesystem::path& file) {
  return is_standard_input(file) ? "standard input" : file.string();
}

Error in_file(Error error, const std::filesystem::path& file) {
  const bool is_position = !error.where.empty() && error.where[0] >= '0' && error.where[0] <= '9';
  if (error.where.empty()) {
    error.where = shown_name(file);
  } else {
    error.where = fmt::format("{}:{}{}", shown_name(file), is_position ? "" : " ", error.where);
  }
  return error;
}

Result<std::string> read_text_file(const std::filesystem::path& file, std::size_t max_bytes) {
  const Descriptor in(is_standard_input(file) ? STDIN_FILENO
                                              : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.is_open()) return io_error("open", file);
  struct stat status = {};
  if (::fstat(in.number(), &status) != 0) return io_error("read", file);
  if (S_ISREG(status.st_mode) && std::cmp_greater(status.st_size, max_bytes))
    return too_large(file, max_bytes);
  return read_all(in, file, max_bytes);
}

Result<std::string> read_document(const std::filesystem::path& file, const DocumentBounds& bounds) {
  auto text = read_text_file(file, bounds.max_bytes);
  if (text.ok() || text.error().code != ErrorCode::document_too_large) return text;
  Error error = text.error();
  error.message += "; raise DocumentBounds::max_bytes (`--max-bytes`)";
  return error;
}

}  // namespace limitr::scenario
