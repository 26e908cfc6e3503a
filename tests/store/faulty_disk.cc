// SPDX-License-Identifier: Apache-2.0
#include "faulty_disk.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include <sqlite3.h>

namespace limitr::store {
namespace {

// What stood in a place of a file before it was written to; an empty text beyond the file's end.
struct Before {
  sqlite3_int64 at;
  std::string bytes;
  sqlite3_int64 size;
};

struct FaultyFile {
  sqlite3_file base;
  sqlite3_file* real;
  std::vector<Before>* unsynced;
};

struct Plan {
  std::atomic<bool> armed = false;
  FaultyDisk::Call call = FaultyDisk::Call::any;
  std::uint64_t countdown = 0;
  bool for_ever = false;
  bool failed = false;
};

// SQLite's file systems are of the whole process.
Plan plan;
sqlite3_vfs* real_vfs = nullptr;
sqlite3_vfs faulty_vfs;

bool fails(FaultyDisk::Call call) {
  if (!plan.armed || (plan.call != FaultyDisk::Call::any && plan.call != call)) return false;
  if (plan.failed) return plan.for_ever;
  if (plan.countdown-- > 0) return false;
  plan.failed = true;
  return true;
}

FaultyFile& of(sqlite3_file* file) { return *reinterpret_cast<FaultyFile*>(file); }
sqlite3_file* real(sqlite3_file* file) { return of(file).real; }

int close_file(sqlite3_file* file) {
  const int code = real(file)->pMethods->xClose(real(file));
  delete std::exchange(of(file).unsynced, nullptr);
  return code;
}

int read_file(sqlite3_file* file, void* to, int size, sqlite3_int64 at) {
  return real(file)->pMethods->xRead(real(file), to, size, at);
}

void remember(FaultyFile& file, int size, sqlite3_int64 at) {
  sqlite3_int64 end = 0;
  file.real->pMethods->xFileSize(file.real, &end);
  Before before{.at = at, .bytes = {}, .size = end};
  if (at < end) {
    before.bytes.resize(static_cast<std::size_t>(std::min<sqlite3_int64>(size, end - at)));
    file.real->pMethods->xRead(file.real, before.bytes.data(),
                               static_cast<int>(before.bytes.size()), at);
  }
  file.unsynced->push_back(std::move(before));
}

int write_file(sqlite3_file* file, const void* from, int size, sqlite3_int64 at) {
  if (fails(FaultyDisk::Call::write)) return SQLITE_IOERR_WRITE;
  if (plan.armed) remember(of(file), size, at);
  return real(file)->pMethods->xWrite(real(file), from, size, at);
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  if (fails(FaultyDisk::Call::truncate)) return SQLITE_IOERR_TRUNCATE;
  return real(file)->pMethods->xTruncate(real(file), size);
}

int sync_file(sqlite3_file* file, int flags) {
  std::vector<Before>& unsynced = *of(file).unsynced;
  if (!fails(FaultyDisk::Call::sync)) {
    unsynced.clear();
    return real(file)->pMethods->xSync(real(file), flags);
  }
  for (auto before = unsynced.rbegin(); before != unsynced.rend(); ++before) {
    if (!before->bytes.empty()) {
      real(file)->pMethods->xWrite(real(file), before->bytes.data(),
                                   static_cast<int>(before->bytes.size()), before->at);
    }
    real(file)->pMethods->xTruncate(real(file), before->size);
  }
  unsynced.clear();
  return SQLITE_IOERR_FSYNC;
}

int size_of_file(sqlite3_file* file, sqlite3_int64* size) {
  return real(file)->pMethods->xFileSize(real(file), size);
}
int lock_file(sqlite3_file* file, int level) {
  return real(file)->pMethods->xLock(real(file), level);
}
int unlock_file(sqlite3_file* file, int level) {
  return real(file)->pMethods->xUnlock(real(file), level);
}
int check_lock(sqlite3_file* file, int* held) {
  return real(file)->pMethods->xCheckReservedLock(real(file), held);
}
int control_file(sqlite3_file* file, int what, void* argument) {
  return real(file)->pMethods->xFileControl(real(file), what, argument);
}
int sector_size(sqlite3_file* file) { return real(file)->pMethods->xSectorSize(real(file)); }
int characteristics(sqlite3_file* file) {
  return real(file)->pMethods->xDeviceCharacteristics(real(file));
}
int map_shared(sqlite3_file* file, int page, int size, int extend, void volatile** at) {
  return real(file)->pMethods->xShmMap(real(file), page, size, extend, at);
}
int lock_shared(sqlite3_file* file, int offset, int count, int flags) {
  return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}
void order_shared(sqlite3_file* file) { real(file)->pMethods->xShmBarrier(real(file)); }
int unmap_shared(sqlite3_file* file, int remove) {
  return real(file)->pMethods->xShmUnmap(real(file), remove);
}

// Version 2: without pages of the file mapped into memory, which would pass us by.
const sqlite3_io_methods methods = {
    2,
    close_file,
    read_file,
    write_file,
    truncate_file,
    sync_file,
    size_of_file,
    lock_file,
    unlock_file,
    check_lock,
    control_file,
    sector_size,
    characteristics,
    map_shared,
    lock_shared,
    order_shared,
    unmap_shared,
    nullptr,
    nullptr,
};

int open_file(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* given) {
  file->pMethods = nullptr;
  if (fails(FaultyDisk::Call::open)) return SQLITE_CANTOPEN;
  FaultyFile& faulty = of(file);
  faulty.real = reinterpret_cast<sqlite3_file*>(&faulty + 1);
  const int code = real_vfs->xOpen(real_vfs, name, faulty.real, flags, given);
  if (!faulty.real->pMethods) return code;
  faulty.unsynced = new std::vector<Before>();
  file->pMethods = &methods;
  return code;
}

}  // namespace

FaultyDisk::FaultyDisk() {
  real_vfs = sqlite3_vfs_find(nullptr);
  faulty_vfs = *real_vfs;
  faulty_vfs.zName = "faulty";
  faulty_vfs.szOsFile = static_cast<int>(sizeof(FaultyFile)) + real_vfs->szOsFile;
  faulty_vfs.xOpen = open_file;
  sqlite3_vfs_register(&faulty_vfs, 1);
}

FaultyDisk::~FaultyDisk() {
  disarm();
  sqlite3_vfs_unregister(&faulty_vfs);
  sqlite3_vfs_register(real_vfs, 1);
}

void FaultyDisk::arm(Call call, std::uint64_t nth, bool for_ever) {
  plan.call = call;
  plan.countdown = nth;
  plan.for_ever = for_ever;
  plan.failed = false;
  plan.armed = true;
}

void FaultyDisk::disarm() { plan.armed = false; }
bool FaultyDisk::has_failed() const { return plan.failed; }

}  // namespace limitr::store
