// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/text_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <poll.h>
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

}  // namespace

Result<TextFile> TextFile::open(const std::filesystem::path& file) {
  TextFile opened(Descriptor(is_standard_input(file) ? STDIN_FILENO
                                                     : ::open(file.c_str(), O_RDONLY | O_CLOEXEC)),
                  file);
  if (!opened.in_.is_open()) return io_error("open", file);
  struct stat status = {};
  if (::fstat(opened.in_.number(), &status) != 0) return io_error("read", file);
  if (S_ISREG(status.st_mode)) opened.size_ = static_cast<std::uint64_t>(status.st_size);
  return opened;
}

Result<std::size_t> TextFile::read(std::span<char> room) const {
  for (;;) {
    const ssize_t count = ::read(in_.number(), room.data(), room.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return io_error("read", name_);
  }
}

bool TextFile::is_ready(std::chrono::milliseconds patience) const {
  pollfd asked{.fd = in_.number(), .events = POLLIN, .revents = 0};
  // Where it cannot be asked, read() tells why.
  return ::poll(&asked, 1, static_cast<int>(patience.count())) != 0;
}

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
  const auto in = TextFile::open(file);
  if (!in.ok()) return in.error();
  if (in->size() > max_bytes) return too_large(file, max_bytes);
  std::string text;
  std::string block(std::size_t{64} << 10U, '\0');
  for (;;) {
    const auto count = in->read(block);
    if (!count.ok()) return count.error();
    if (*count == 0) return text;
    text.append(block, 0, *count);
    if (text.size() > max_bytes) return too_large(file, max_bytes);
  }
}

Result<std::string> read_document(const std::filesystem::path& file, const DocumentBounds& bounds) {
  auto text = read_text_file(file, bounds.max_bytes);
  if (text.ok() || text.error().code != ErrorCode::document_too_large) return text;
  Error error = text.error();
  error.message += "; raise DocumentBounds::max_bytes (`--max-bytes`)";
  return error;
}

}  // namespace limitr::scenario
