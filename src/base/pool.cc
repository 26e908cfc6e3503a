// SPDX-License-Identifier: Apache-2.0
#include "base/pool.h"

#include <algorithm>
#include <cstdint>

#include <sys/mman.h>

namespace limitr {
namespace {

constexpr std::size_t first_piece = std::size_t{64} << 10U;
constexpr std::size_t huge_page = std::size_t{2} << 20U;

// The address sanitizer knows of blocks only where each is asked for by itself.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool each_by_itself = true;
#elif defined(__has_feature)
constexpr bool each_by_itself = __has_feature(address_sanitizer);
#else
constexpr bool each_by_itself = false;
#endif

std::byte* map(std::size_t bytes) {
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(mapped);
}

// Twice as much as is needed has an aligned part, and what is around it goes back.
std::byte* map_huge_page() {
  std::byte* mapped = map(2 * huge_page);
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(mapped) % huge_page;
  std::byte* page = mapped + before;
  if (before != 0) munmap(mapped, before);
  munmap(page + huge_page, huge_page - before);
  madvise(page, huge_page, MADV_HUGEPAGE);  // Where that is refused, small pages do.
  return page;
}

}  // namespace

// Few blocks take little: pieces double until one fills a huge page.
void Pool::add_piece() {
  piece_bytes_ = std::clamp(2 * piece_bytes_, first_piece, huge_page);
  next_ = piece_bytes_ == huge_page ? map_huge_page() : map(piece_bytes_);
  end_ = next_ + piece_bytes_;
}

void* Pool::take() {
  if (each_by_itself) return ::operator new(block_bytes_);
  const std::lock_guard lock(mutex_);
  if (Free* block = free_) {
    free_ = block->next;
    __builtin_prefetch(free_);  // What was given back last may have left the caches long ago.
    return block;
  }
  if (static_cast<std::size_t>(end_ - next_) < block_bytes_) add_piece();
  std::byte* block = next_;
  next_ += block_bytes_;
  return block;
}

void Pool::give_back(void* block) noexcept {
  if (each_by_itself) return ::operator delete(block);
  const std::lock_guard lock(mutex_);
  free_ = new (block) Free{free_};
}

}  // namespace limitr
