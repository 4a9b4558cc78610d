// The class bits of the Unicode table, shared by its generator and its readers.
#pragma once

#include <cstdint>
#include <utility>

namespace dsv::unicode {

// General-category groups L, M, N, P, S (disjoint), white space as \s matches it, and the set that
// the second stage of the pre-tokenizer splits off (spec 8.2).
inline constexpr uint8_t kLetter = 1;
inline constexpr uint8_t kMark = 2;
inline constexpr uint8_t kNumber = 4;
inline constexpr uint8_t kPunctuation = 8;
inline constexpr uint8_t kSymbol = 16;
inline constexpr uint8_t kSpace = 32;
inline constexpr uint8_t kIdeograph = 64;

// First and last code point, inclusive: CJK unified ideographs, Hiragana, Katakana.
inline constexpr std::pair<uint32_t, uint32_t> kIdeographRanges[] = {
    {0x4E00, 0x9FA5}, {0x3040, 0x309F}, {0x30A0, 0x30FF}};

// Code points per block of the second stage of the table.
inline constexpr uint32_t kBlockSize = 128;

}  // namespace dsv::unicode
