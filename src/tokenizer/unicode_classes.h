// Classes of code points in Unicode 16.0.0 (spec 8.2), from a table made at build time.
#pragma once

#include <cstdint>

#include "tokenizer/unicode_bits.h"

namespace dsv::unicode {

#include "tokenizer/unicode_table.inc"

// Class bits of a code point below 0x110000.
inline uint8_t ClassOf(uint32_t code_point) {
  const uint32_t block = kBlockIndex[code_point / kBlockSize];
  return kBlockClasses[block * kBlockSize + code_point % kBlockSize];
}

}  // namespace dsv::unicode
