// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <mutex>
#include <new>

namespace limitr {

/// Memory in blocks of one size, for what there may be a million of. Blocks lie without gaps in
/// large pieces, for which the system is asked for huge pages: at random among a million customers,
/// finding where a page lies costs a call as much as what is on it. Blocks that are given back are
/// used again; the system gets none of them back.
///
/// As the table of names, this holds a lock below the engine: no answer depends on it.
/// Threads: all of it. Never destroyed, so that objects of any lifetime may be in it.
class Pool {
public:
  /// REQUIRES: a multiple of the alignment of what is in the blocks, and at least a pointer's size.
  constexpr explicit Pool(std::size_t block_bytes) : block_bytes_(block_bytes) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Throws std::bad_alloc, as operator new does.
  void* take();
  void give_back(void* block) noexcept;

private:
  struct Free {
    Free* next;
  };

  void add_piece();

  const std::size_t block_bytes_;
  std::mutex mutex_;
  // Guarded by it.
  Free* free_ = nullptr;
  std::byte* next_ = nullptr;  // of the newest piece: the first block that was never used,
  std::byte* end_ = nullptr;   // and where the piece ends
  std::size_t piece_bytes_ = 0;
};

/// For containers that hold a few elements each: up to four of them are in pools.
template <typename T>
class PoolAllocator {
public:
  using value_type = T;

  PoolAllocator() = default;
  template <typename Other>
  PoolAllocator(const PoolAllocator<Other>&) {}  // NOLINT: implicit, as allocators convert

  T* allocate(std::size_t count) {
    if (count - 1 < few) return static_cast<T*>(pools_[count - 1].take());
    return static_cast<T*>(::operator new(count * sizeof(T)));
  }
  void deallocate(T* elements, std::size_t count) noexcept {
    if (count - 1 < few) return pools_[count - 1].give_back(elements);
    ::operator delete(elements);
  }
  friend bool operator==(PoolAllocator, PoolAllocator) { return true; }

private:
  static constexpr std::size_t few = 4;
  static inline constinit Pool pools_[few] = {Pool(sizeof(T)), Pool(2 * sizeof(T)),
                                              Pool(3 * sizeof(T)), Pool(4 * sizeof(T))};
};

}  // namespace limitr
