// SPDX-License-Identifier: Apache-2.0
// Replaces the program's operator new, which is the only way that we and the libraries beneath us
// come by heap memory. The forms not named here end up in one of these.

#include "heap.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <new>

#include <fmt/format.h>

namespace {

// While nothing counts, threads only read this: it must not be what two of them fight over.
std::atomic<bool> counting = false;
std::atomic<std::uint64_t> allocations_counted = 0;

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  if (counting.load(std::memory_order_relaxed)) {
    allocations_counted.fetch_add(1, std::memory_order_relaxed);
  }
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return counted(std::malloc(size == 0 ? 1 : size)); }
void* operator new(std::size_t size, std::align_val_t align) {
  const auto alignment = static_cast<std::size_t>(align);
  // aligned_alloc wants whole multiples.
  const std::size_t whole = (size + alignment - 1) / alignment * alignment;
  return counted(std::aligned_alloc(alignment, whole == 0 ? alignment : whole));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace limitr::bench {

HeapCount::HeapCount() {
  allocations_counted = 0;
  counting = true;
}

HeapCount::~HeapCount() { counting = false; }

std::uint64_t HeapCount::allocations() const { return allocations_counted; }

double resident_bytes(std::optional<::pid_t> process) {
  std::ifstream statm(process ? fmt::format("/proc/{}/statm", *process) : "/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace limitr::bench
