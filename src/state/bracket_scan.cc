// SPDX-License-Identifier: Apache-2.0
#include "state/bracket_scan.h"

#include <bit>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace limitr::state {

// Whether the value ends with this byte.
bool BracketScan::step(char c) {
  if (in_text_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_text_ = false;
    }
    return false;
  }
  switch (c) {
    case '"': in_text_ = true; return false;
    case '{':
    case '[': ++depth_; return false;
    case '}':
    case ']': return --depth_ == 0;
    default: return false;
  }
}

std::size_t BracketScan::scan_bytes(std::string_view piece) {
  for (std::size_t i = 0; i < piece.size(); ++i) {
    if (step(piece[i])) return i + 1;
  }
  return not_yet;
}

#if defined(__SSE2__)

namespace {

constexpr std::size_t block_size = 64;

// One bit for each byte of a block.
struct Block {
  std::uint64_t quotes = 0;
  std::uint64_t backslashes = 0;
  std::uint64_t opening = 0;
  std::uint64_t closing = 0;
};

Block look_at(const char* bytes) {
  Block block;
  const __m128i lower = _mm_set1_epi8(0x20);
  for (std::size_t i = 0; i < block_size / 16; ++i) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i * 16));
    const auto bits = [&](__m128i given, char wanted) {
      const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(given, _mm_set1_epi8(wanted)));
      return std::uint64_t{static_cast<std::uint32_t>(mask)} << (i * 16);
    };
    block.quotes |= bits(part, '"');
    block.backslashes |= bits(part, '\\');
    // '[' and ']' are '{' and '}' without this bit.
    const __m128i brackets = _mm_or_si128(part, lower);
    block.opening |= bits(brackets, '{');
    block.closing |= bits(brackets, '}');
  }
  return block;
}

// Without help of the machine, which not every one that this runs on has: a few operations, where
// std::popcount would be a call.
std::size_t count(std::uint64_t bits) {
  bits -= (bits >> 1U) & 0x5555555555555555U;
  bits = (bits & 0x3333333333333333U) + ((bits >> 2U) & 0x3333333333333333U);
  bits = (bits + (bits >> 4U)) & 0x0F0F0F0F0F0F0F0FU;
  return static_cast<std::size_t>((bits * 0x0101010101010101U) >> 56U);
}

// From each bit set up to the one before the next: the bytes of texts, from their quotes.
std::uint64_t between(std::uint64_t quotes) {
  for (unsigned shift = 1; shift < block_size; shift *= 2) quotes ^= quotes << shift;
  return quotes;
}

}  // namespace

std::size_t BracketScan::scan(std::string_view piece) {
  std::size_t at = 0;
  for (; piece.size() - at >= block_size; at += block_size) {
    Block block = look_at(piece.data() + at);
    // Escapes are rare, and byte by byte they are simple.
    if (block.backslashes != 0 || escaped_) {
      const std::size_t end = scan_bytes(piece.substr(at, block_size));
      if (end != not_yet) return at + end;
      continue;
    }
    const std::uint64_t text = between(block.quotes) ^ (in_text_ ? ~std::uint64_t{0} : 0);
    const std::uint64_t opening = block.opening & ~text;
    const std::uint64_t closing = block.closing & ~text;
    const auto closed = count(closing);
    if (closed < depth_) {
      depth_ += count(opening) - closed;
    } else {
      for (std::uint64_t rest = opening | closing; rest != 0; rest &= rest - 1) {
        const std::uint64_t lowest = rest & (~rest + 1);
        if ((lowest & opening) != 0) {
          ++depth_;
        } else if (--depth_ == 0) {
          return at + static_cast<std::size_t>(std::countr_zero(rest)) + 1;
        }
      }
    }
    in_text_ = (text >> 63U) != 0;
  }
  const std::size_t end = scan_bytes(piece.substr(at));
  return end == not_yet ? not_yet : at + end;
}

#else

std::size_t BracketScan::scan(std::string_view piece) { return scan_bytes(piece); }

#endif

}  // namespace limitr::state
