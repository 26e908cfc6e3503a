// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

#include <limitr/error.h>

namespace limitr::env {

/// An open file, closed at the end of its scope; the standard streams stay open.
class Descriptor {
public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor();

  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }

private:
  int number_;
};

/// "cannot `what`: No such file or directory", by errno.
Error io_error(std::string_view what, const std::filesystem::path& file);

}  // namespace limitr::env
