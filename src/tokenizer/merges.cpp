#include "tokenizer/merges.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>

#include "base/check.h"

namespace dsv {
namespace {

constexpr uint64_t kEmpty = ~uint64_t{0};
constexpr int kIdBits = 21;
constexpr uint64_t kRankMask = (uint64_t{1} << kIdBits) - 1;
constexpr uint32_t kNoRank = UINT32_MAX;

// Pieces up to this size are merged in place with a linear search for the lowest rank, which bounds
// their cost; longer ones, rare in natural text, need the linked list and the heap.
constexpr size_t kShortPiece = 96;

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << kIdBits | static_cast<uint64_t>(right);
}

size_t SlotOf(uint64_t key, size_t slots) {
  const uint64_t hash = key * 0x9E3779B97F4A7C15u;
  return static_cast<size_t>(hash >> 32) & (slots - 1);
}

}  // namespace

Merges::Merges(std::array<int32_t, 256> byte_tokens, int64_t capacity)
    : byte_tokens_(byte_tokens),
      slots_(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(capacity, 1)) * 2), kEmpty) {
  merged_.reserve(static_cast<size_t>(capacity));
}

bool Merges::Add(int32_t left, int32_t right, int32_t merged) {
  DSV_CHECK(std::max({left, right, merged}) <= kMaxTokenId);
  DSV_CHECK(merged_.size() * 2 < slots_.size() && merged_.size() <= kRankMask);
  const uint64_t key = PairKey(left, right);
  size_t i = SlotOf(key, slots_.size());
  for (; slots_[i] != kEmpty; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i] >> kIdBits == key) return false;
  }
  slots_[i] = key << kIdBits | merged_.size();
  merged_.push_back(merged);
  return true;
}

uint32_t Merges::RankOf(int32_t left, int32_t right) const {
  const uint64_t key = PairKey(left, right);
  for (size_t i = SlotOf(key, slots_.size()); slots_[i] != kEmpty;
       i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i] >> kIdBits == key) return static_cast<uint32_t>(slots_[i] & kRankMask);
  }
  return kNoRank;
}

void Merges::Apply(std::string_view piece, std::vector<int32_t>& out) const {
  if (piece.size() <= kShortPiece) {
    ApplyShort(piece, out);
  } else {
    ApplyLong(piece, out);
  }
}

void Merges::ApplyShort(std::string_view piece, std::vector<int32_t>& out) const {
  std::array<int32_t, kShortPiece> tokens;
  std::array<uint32_t, kShortPiece> ranks;  // of the pair (i, i + 1); the last has none
  size_t count = piece.size();
  for (size_t i = 0; i < count; ++i) tokens[i] = byte_tokens_[static_cast<unsigned char>(piece[i])];
  for (size_t i = 0; i < count; ++i) {
    ranks[i] = i + 1 < count ? RankOf(tokens[i], tokens[i + 1]) : kNoRank;
  }
  while (count > 1) {
    uint32_t lowest = kNoRank;
    size_t at = 0;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (ranks[i] < lowest) {
        lowest = ranks[i];
        at = i;
      }
    }
    if (lowest == kNoRank) break;
    tokens[at] = merged_[lowest];
    std::copy(tokens.begin() + at + 2, tokens.begin() + count, tokens.begin() + at + 1);
    std::copy(ranks.begin() + at + 2, ranks.begin() + count, ranks.begin() + at + 1);
    --count;
    if (at > 0) ranks[at - 1] = RankOf(tokens[at - 1], tokens[at]);
    if (at + 1 < count) ranks[at] = RankOf(tokens[at], tokens[at + 1]);
  }
  out.insert(out.end(), tokens.begin(), tokens.begin() + count);
}

// The symbols form a linked list; a heap holds the pairs, and a pair that has changed since it was
// pushed is skipped when it comes up.
void Merges::ApplyLong(std::string_view piece, std::vector<int32_t>& out) const {
  struct Symbol {
    int32_t token;
    int32_t previous;
    int32_t next;   // piece size at the end
    uint32_t rank;  // of the pair with the next symbol
  };
  const auto size = static_cast<int32_t>(piece.size());
  std::vector<Symbol> symbols(piece.size());
  const auto symbol = [&symbols](int32_t i) -> Symbol& { return symbols[static_cast<size_t>(i)]; };
  for (int32_t i = 0; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(piece[static_cast<size_t>(i)]);
    symbol(i) = {byte_tokens_[byte], i - 1, i + 1, kNoRank};
  }

  // rank << 32 | position: the lowest rank first, then the leftmost.
  std::vector<uint64_t> pairs;
  const auto update = [&](int32_t i) {
    Symbol& s = symbol(i);
    s.rank = s.next < size ? RankOf(s.token, symbol(s.next).token) : kNoRank;
    return s.rank != kNoRank;
  };
  const auto entry = [&](int32_t i) {
    return static_cast<uint64_t>(symbol(i).rank) << 32 | static_cast<uint32_t>(i);
  };
  for (int32_t i = 0; i < size; ++i) {
    if (update(i)) pairs.push_back(entry(i));
  }
  std::priority_queue heap(std::greater<>(), std::move(pairs));
  while (!heap.empty()) {
    const uint64_t top = heap.top();
    heap.pop();
    const auto at = static_cast<int32_t>(top & UINT32_MAX);
    Symbol& left = symbol(at);
    if (left.rank != top >> 32) continue;
    Symbol& right = symbol(left.next);
    left.token = merged_[left.rank];
    left.next = right.next;
    right.rank = kNoRank;
    if (left.next < size) symbol(left.next).previous = at;
    if (update(at)) heap.push(entry(at));
    if (left.previous >= 0 && update(left.previous)) heap.push(entry(left.previous));
  }
  for (int32_t i = 0; i < size; i = symbol(i).next) out.push_back(symbol(i).token);
}

}  // namespace dsv
