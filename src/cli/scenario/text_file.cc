// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/text_file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace limitr::scenario {
namespace {

/// An open file, closed at the end of its scope.
class Descriptor {
public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ > STDERR_FILENO) ::close(number_);
  }
  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }

private:
  int number_;
};

Error io_error(std::string_view what, const std::filesystem::path& file) {
  return {.code = ErrorCode::io_failed,
          .message = fmt::format("cannot {}: {}", what, std::strerror(errno)),
          .where = file.string()};
}

Error too_large(const std::filesystem::path& file, std::size_t max_bytes) {
  return {.code = ErrorCode::document_too_large,
          .message = fmt::format("the file is larger than {} bytes (max_bytes)", max_bytes),
          .where = file.string()};
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

Result<void> write_all(const Descriptor& out, std::string_view text,
                       const std::filesystem::path& file) {
  while (!text.empty()) {
    const ssize_t count = ::write(out.number(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("write", file);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  if (::fsync(out.number()) != 0) return io_error("write", file);
  return {};
}

/// The rename is only safe once the folder is: it is what remembers the name.
Result<void> sync_folder(const std::filesystem::path& file) {
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.is_open() || ::fsync(opened.number()) != 0) return io_error("write", folder);
  return {};
}

}  // namespace

Result<std::string> read_text_file(const std::filesystem::path& file, std::size_t max_bytes) {
  const bool is_stdin = file == "-";
  const Descriptor in(is_stdin ? STDIN_FILENO : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.is_open()) return io_error("open", file);
  struct stat status = {};
  if (::fstat(in.number(), &status) != 0) return io_error("read", file);
  if (S_ISREG(status.st_mode) && std::cmp_greater(status.st_size, max_bytes))
    return too_large(file, max_bytes);
  return read_all(in, file, max_bytes);
}

Result<void> write_text_file(const std::filesystem::path& file, std::string_view text) {
  // Beside the file, since a rename does not cross file systems; named by the process, so that
  // two of them do not write into one.
  const std::string scratch = fmt::format("{}.{}.new", file.string(), ::getpid());
  {
    const Descriptor out(
        ::open(scratch.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!out.is_open()) return io_error("write", file);
    if (auto written = write_all(out, text, file); !written.ok()) {
      ::unlink(scratch.c_str());
      return written;
    }
  }
  if (::rename(scratch.c_str(), file.c_str()) != 0) {
    Error failure = io_error("write", file);
    ::unlink(scratch.c_str());
    return failure;
  }
  return sync_folder(file);
}

}  // namespace limitr::scenario
