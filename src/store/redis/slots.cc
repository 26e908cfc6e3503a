// SPDX-License-Identifier: Apache-2.0
#include "store/redis/slots.h"

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace limitr::store::redis {
namespace {

// CRC-16/XMODEM: the polynomial 0x1021, the highest bit first, from 0.
constexpr std::array<std::uint16_t, 256> make_crc_table() {
  std::array<std::uint16_t, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    unsigned crc = byte << 8U;
    for (int bit = 0; bit < 8; ++bit) crc = (crc << 1U) ^ ((crc & 0x8000U) != 0 ? 0x1021U : 0U);
    table[byte] = static_cast<std::uint16_t>(crc);
  }
  return table;
}

constexpr std::array<std::uint16_t, 256> crc_table = make_crc_table();

Slot slot_of_all(std::string_view text) {
  unsigned crc = 0;
  for (const char c : text) {
    const unsigned at = ((crc >> 8U) ^ static_cast<unsigned char>(c)) & 0xffU;
    crc = ((crc << 8U) ^ crc_table[at]) & 0xffffU;
  }
  return static_cast<Slot>(crc % slot_count);
}

std::vector<std::string> make_tags() {
  std::vector<std::string> tags(slot_count);
  std::size_t missing = slot_count;
  for (std::uint32_t number = 0; missing > 0; ++number) {
    std::string text = std::to_string(number);
    std::string& tag = tags[slot_of_all(text)];
    if (!tag.empty()) continue;
    tag = std::move(text);
    --missing;
  }
  return tags;
}

}  // namespace

Slot slot_of(std::string_view key) {
  const std::size_t begin = key.find('{');
  if (begin == std::string_view::npos) return slot_of_all(key);
  const std::size_t end = key.find('}', begin + 1);
  if (end == std::string_view::npos || end == begin + 1) return slot_of_all(key);
  return slot_of_all(key.substr(begin + 1, end - begin - 1));
}

std::string_view tag_of(Slot slot) {
  static const std::vector<std::string> tags = make_tags();
  return tags[slot];
}

}  // namespace limitr::store::redis
