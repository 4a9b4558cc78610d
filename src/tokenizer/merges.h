// The merges of byte-pair encoding and their application to one piece (spec 8.2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace dsv {

// Ids and ranks stay below this, so that a pair of ids and its rank fit one 64-bit word.
inline constexpr int64_t kMaxTokenId = (int64_t{1} << 21) - 2;

// Immutable after the last Add; Apply may run on any number of threads.
class Merges {
 public:
  // `byte_tokens[b]` is the token of the single byte b.
  Merges(std::array<int32_t, 256> byte_tokens, int64_t capacity);

  // Adds the merge of the next rank. False if the pair has one already.
  bool Add(int32_t left, int32_t right, int32_t merged);

  // Appends the tokens of `piece` to `out`: the adjacent pair of the lowest rank is merged first,
  // of equal ones the leftmost. O(n log n) in the size of the piece, which must be below 2 GiB.
  void Apply(std::string_view piece, std::vector<int32_t>& out) const;

 private:
  uint32_t RankOf(int32_t left, int32_t right) const;
  void ApplyShort(std::string_view piece, std::vector<int32_t>& out) const;
  void ApplyLong(std::string_view piece, std::vector<int32_t>& out) const;

  std::array<int32_t, 256> byte_tokens_;
  std::vector<uint64_t> slots_;  // left << 42 | right << 21 | rank; kEmpty if free
  std::vector<int32_t> merged_;  // [rank] token that the merge makes
};

}  // namespace dsv
