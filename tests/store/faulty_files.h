// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>

#include "store/file/file_system.h"

namespace limitr::store {

/// A file system whose calls can fail, and whose power can. Nothing is really synced: what is not
/// is known, and taken away where a disk may do so.
class FaultyFiles final : public file::FileSystem {
public:
  enum class Call : std::uint8_t { open, read, write, sync, truncate, remove, replace, any };

  /// From now on the `nth` such call fails, from 0, and where it is for ever, all after it. A write
  /// that fails has written a part; a sync takes with it what was written since the last good one,
  /// as a kernel may that has marked its pages clean. With `after`, a replace() that fails has put
  /// the file in place.
  void arm(Call call, std::uint64_t nth, bool for_ever, bool after = false);
  /// From the `nth` call that changes something on, nothing happens any more, and what was not safe
  /// by then is there, torn or gone.
  void cut_power(std::uint64_t nth, std::uint64_t seed);
  void disarm();
  /// Whether a call has failed since then.
  bool has_failed() const { return failed_; }

  int open(const std::string& path, int flags) override;
  ::ssize_t read(int file, char* to, std::size_t size, ::off_t at) override;
  ::ssize_t write(int file, const char* from, std::size_t size, ::off_t at) override;
  int sync(int file) override;
  int truncate(int file, ::off_t size) override;
  int remove(const std::string& path) override;
  Result<void> replace(const std::string& path, std::string_view text) override;

private:
  enum class Fate : std::uint8_t { good, fails, power_is_cut };

  Fate fate(Call call);
  bool chance() { return random_() % 2 == 0; }
  void tear(int file);
  void tear_all();

  bool armed_ = false;
  Call call_ = Call::any;
  std::uint64_t countdown_ = 0;
  bool for_ever_ = false;
  bool after_ = false;
  bool is_power_ = false;
  bool failed_ = false;
  std::mt19937_64 random_;
  std::map<int, ::off_t> safe_;                 // How much of each open file is.
  std::map<std::string, std::string> removed_;  // What comes back with a power failure.
};

}  // namespace limitr::store
