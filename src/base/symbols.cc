// SPDX-License-Identifier: Apache-2.0
#include "base/symbols.h"

#include <stdexcept>

namespace limitr {

SymbolTable::SymbolTable() : blocks_(std::make_unique<std::atomic<std::string*>[]>(block_count)) {
  intern("");
}

SymbolTable::~SymbolTable() {
  for (std::uint32_t i = 0; i * block_size < size_; ++i) delete[] blocks_[i].load();
}

Symbol SymbolTable::intern(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (const auto found = by_name_.find(name); found != by_name_.end()) return found->second;
  const std::uint32_t block = size_ / block_size;
  if (block == block_count) throw std::length_error("too many names");
  std::string* texts = blocks_[block].load(std::memory_order_relaxed);
  if (texts == nullptr) texts = new std::string[block_size];
  std::string& text = texts[size_ % block_size];
  text = name;
  blocks_[block].store(texts, std::memory_order_release);
  const Symbol symbol{size_++};
  by_name_.emplace(text, symbol);
  return symbol;
}

Symbol SymbolTable::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? Symbol::empty : found->second;
}

}  // namespace limitr
