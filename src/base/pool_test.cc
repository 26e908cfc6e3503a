// SPDX-License-Identifier: Apache-2.0
#include "base/pool.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace limitr {
namespace {

constexpr std::size_t block_bytes = 88;

// Enough to fill several pieces, huge pages among them.
constexpr std::size_t many = 100'000;

void fill(void* block, std::size_t number) {
  std::memset(block, static_cast<int>(number % 251), block_bytes);
}
bool holds(const void* block, std::size_t number) {
  const auto* bytes = static_cast<const unsigned char*>(block);
  return std::all_of(bytes, bytes + block_bytes,
                     [&](unsigned char byte) { return byte == number % 251; });
}

TEST(Pool, BlocksDoNotOverlap) {
  static constinit Pool pool(block_bytes);
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < many; ++i) fill(blocks.emplace_back(pool.take()), i);
  for (std::size_t i = 0; i < many; i += 2) pool.give_back(blocks[i]);
  for (std::size_t i = 0; i < many; i += 2) fill(blocks[i] = pool.take(), i);
  for (std::size_t i = 0; i < many; ++i) ASSERT_TRUE(holds(blocks[i], i)) << i;
  for (void* block : blocks) pool.give_back(block);
}

TEST(Pool, BlocksThatAreGivenBackAreUsedAgain) {
  static constinit Pool pool(block_bytes);
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < 1000; ++i) blocks.push_back(pool.take());
  std::vector<void*> first = blocks;
  for (void* block : blocks) pool.give_back(block);
  for (void*& block : blocks) block = pool.take();
  std::sort(first.begin(), first.end());
  std::sort(blocks.begin(), blocks.end());
#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
  EXPECT_EQ(blocks, first);
#endif
  for (void* block : blocks) pool.give_back(block);
}

TEST(Pool, IsForAllThreads) {
  static constinit Pool pool(block_bytes);
  const auto use = [&](std::size_t thread) {
    std::vector<void*> blocks;
    for (std::size_t i = 0; i < 10'000; ++i) fill(blocks.emplace_back(pool.take()), thread);
    for (void* block : blocks) {
      EXPECT_TRUE(holds(block, thread));
      pool.give_back(block);
    }
  };
  std::thread other([&] { use(1); });
  use(2);
  other.join();
}

TEST(PoolAllocator, HoldsAnyNumberOfElements) {
  std::vector<std::uint64_t, PoolAllocator<std::uint64_t>> numbers;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    numbers.reserve(numbers.size() + 1);
    numbers.push_back(i);
  }
  const auto copy = numbers;
  numbers.clear();
  numbers.shrink_to_fit();
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(copy[i], i);
}

}  // namespace
}  // namespace limitr
