// SPDX-License-Identifier: Apache-2.0
#include "faulty_files.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace limitr::store {
namespace {

::off_t size_of(int file) {
  struct ::stat found = {};
  return ::fstat(file, &found) == 0 ? found.st_size : 0;
}

int broken() {
  errno = EIO;
  return -1;
}

void put(const std::string& path, std::string_view text) {
  std::ofstream(path + ".new", std::ios::binary) << text;
  std::filesystem::remove(path);  // Renaming over it, some file systems would sync after all.
  std::filesystem::rename(path + ".new", path);
}

}  // namespace

void FaultyFiles::arm(Call call, std::uint64_t nth, bool for_ever, bool after) {
  call_ = call;
  countdown_ = nth;
  for_ever_ = for_ever;
  after_ = after;
  is_power_ = failed_ = false;
  armed_ = true;
}

void FaultyFiles::cut_power(std::uint64_t nth, std::uint64_t seed) {
  arm(Call::any, nth, /*for_ever=*/true);
  is_power_ = true;
  random_.seed(seed);
}

void FaultyFiles::disarm() { armed_ = false; }

FaultyFiles::Fate FaultyFiles::fate(Call call) {
  if (!armed_ || (call_ != Call::any && call_ != call)) return Fate::good;
  if (failed_) return for_ever_ ? Fate::fails : Fate::good;
  if (is_power_ && (call == Call::open || call == Call::read)) return Fate::good;
  if (countdown_-- > 0) return Fate::good;
  failed_ = true;
  return is_power_ ? Fate::power_is_cut : Fate::fails;
}

int FaultyFiles::open(const std::string& path, int flags) {
  if (fate(Call::open) != Fate::good) return broken();
  const int file = FileSystem::open(path, flags);
  safe_.erase(file);
  if (file >= 0 && (flags & O_ACCMODE) != O_RDONLY) safe_[file] = size_of(file);
  return file;
}

::ssize_t FaultyFiles::read(int file, char* to, std::size_t size, ::off_t at) {
  if (fate(Call::read) != Fate::good) return broken();
  return FileSystem::read(file, to, size, at);
}

::ssize_t FaultyFiles::write(int file, const char* from, std::size_t size, ::off_t at) {
  const Fate now = fate(Call::write);
  if (now == Fate::good) return FileSystem::write(file, from, size, at);
  if (now == Fate::power_is_cut) {
    FileSystem::write(file, from, size, at);
    tear_all();
  } else if (!is_power_) {
    FileSystem::write(file, from, size / 2, at);
  }
  return broken();
}

int FaultyFiles::sync(int file) {
  const Fate now = fate(Call::sync);
  if (now == Fate::good) {
    safe_[file] = size_of(file);
    return 0;
  }
  if (now == Fate::power_is_cut) tear_all();
  if (!is_power_) FileSystem::truncate(file, safe_[file]);
  return broken();
}

int FaultyFiles::truncate(int file, ::off_t size) {
  const Fate now = fate(Call::truncate);
  if (now == Fate::power_is_cut) tear_all();
  return now == Fate::good ? FileSystem::truncate(file, size) : broken();
}

int FaultyFiles::remove(const std::string& path) {
  const Fate now = fate(Call::remove);
  if (now == Fate::good || (now == Fate::power_is_cut && chance())) {
    std::ifstream in(path, std::ios::binary);
    removed_[path] = {std::istreambuf_iterator<char>(in), {}};
    FileSystem::remove(path);
  }
  if (now == Fate::power_is_cut) tear_all();
  return now == Fate::good ? 0 : broken();
}

Result<void> FaultyFiles::replace(const std::string& path, std::string_view text) {
  const Fate now = fate(Call::replace);
  const bool is_done = now == Fate::good || (now == Fate::power_is_cut && chance()) ||
                       (now == Fate::fails && !is_power_ && after_);
  if (is_done) put(path, text);
  if (now == Fate::good) {
    removed_.clear();  // The folder was synced.
    return {};
  }
  if (now == Fate::power_is_cut) tear_all();
  return Error{.code = ErrorCode::io_failed, .message = "the disk is broken", .where = path};
}

// What was written since the last sync may be there or not, each byte of it.
void FaultyFiles::tear(int file) {
  const ::off_t safe = safe_[file];
  const ::off_t size = size_of(file);
  if (size <= safe) return;
  std::vector<char> rest(static_cast<std::size_t>(size - safe));
  FileSystem::read(file, rest.data(), rest.size(), safe);
  const std::uint64_t kept = random_() % (rest.size() + 1);
  switch (random_() % 4) {
    case 0: break;
    case 1: rest.resize(kept); break;
    case 2: std::fill(rest.begin() + static_cast<std::ptrdiff_t>(kept), rest.end(), '\0'); break;
    default:
      std::generate(rest.begin() + static_cast<std::ptrdiff_t>(kept), rest.end(),
                    [&] { return static_cast<char>(random_()); });
  }
  FileSystem::truncate(file, safe);
  FileSystem::write(file, rest.data(), rest.size(), safe);
}

void FaultyFiles::tear_all() {
  for (const auto& [file, safe] : safe_) tear(file);
  for (const auto& [path, text] : removed_) {
    if (chance() && !std::filesystem::exists(path)) put(path, text);
  }
}

}  // namespace limitr::store
