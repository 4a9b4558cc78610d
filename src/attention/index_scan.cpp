#include "attention/index_scan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace dsv {
namespace {

// Keys whose expansion many queries share; and for one query enough to forget the call.
constexpr int64_t kSharedKeys = 16 * kKeyRun;
constexpr int64_t kStreamedKeys = 128 * kKeyRun;

}  // namespace

IndexScan::IndexScan(const OpContext& context, const RowStore& keys, IndexScorer& scorer,
                     std::span<const int64_t> visible, std::span<TopK> top)
    : context_(context),
      keys_(keys),
      scorer_(scorer),
      visible_(visible),
      top_(top),
      step_(scorer.queries() == 1 ? kStreamedKeys : kSharedKeys),
      thresholds_(top.size()) {}

void IndexScan::Run(int64_t begin, int64_t end) {
  while (begin < end) {
    const bool is_full = scorer_.HasFilter(context_) && SetThresholds();
    // Selections become full during the first keys.
    const int64_t count = std::min(is_full ? step_ : std::min(step_, kSharedKeys), end - begin);
    is_full ? OfferFound(begin, count) : OfferAll(begin, count);
    begin += count;
  }
  for (int64_t i = 0; i < std::ssize(waiting_); ++i) Flush(i);
}

// False if a selection takes everything still.
bool IndexScan::SetThresholds() {
  for (size_t i = 0; i < top_.size(); ++i) {
    thresholds_[i] = top_[i].Threshold();
    if (std::isnan(thresholds_[i])) return false;
  }
  return true;
}

void IndexScan::OfferAll(int64_t begin, int64_t count) {
  const int64_t stride = IndexScorer::Stride(count);
  scores_.resize(top_.size() * static_cast<size_t>(stride));
  scorer_.Score(context_, keys_, begin, count, scores_.data());
  for (size_t i = 0; i < top_.size(); ++i) {
    const int64_t seen = std::min(begin + count, visible_[i]) - begin;
    if (seen > 0) top_[i].Offer(scores_.data() + static_cast<int64_t>(i) * stride, seen, begin);
  }
}

void IndexScan::OfferFound(int64_t begin, int64_t count) {
  const int64_t runs = IndexScorer::Stride(count) / kKeyRun;
  found_.resize(top_.size() * static_cast<size_t>(runs));
  scorer_.Find(context_, keys_, begin, count, thresholds_.data(), found_.data());
  waiting_.resize(top_.size());
  for (size_t i = 0; i < top_.size(); ++i) {
    for (int64_t r = 0; r < runs; ++r) {
      const int64_t first = begin + r * kKeyRun;
      uint32_t found = found_[i * static_cast<size_t>(runs) + static_cast<size_t>(r)];
      for (; found != 0; found &= found - 1) {
        const int64_t index = first + std::countr_zero(found);
        if (index < visible_[i]) Add(static_cast<int64_t>(i), index);
      }
    }
  }
}

void IndexScan::Add(int64_t query, int64_t index) {
  Waiting& waiting = waiting_[static_cast<size_t>(query)];
  const auto bytes = static_cast<size_t>(keys_.format().bytes());
  waiting.keys.resize(kKeyRun * bytes);
  std::memcpy(waiting.keys.data() + static_cast<size_t>(waiting.count) * bytes,
              keys_.Stored(index), bytes);
  waiting.indices[waiting.count++] = index;
  if (waiting.count == kKeyRun) Flush(query);
}

void IndexScan::Flush(int64_t query) {
  Waiting& waiting = waiting_[static_cast<size_t>(query)];
  if (waiting.count == 0) return;
  float scores[kKeyRun];
  scorer_.ScorePacked(context_, query, waiting.keys.data(), waiting.count, scores);
  for (int64_t i = 0; i < waiting.count; ++i) {
    top_[static_cast<size_t>(query)].Offer(scores + i, 1, waiting.indices[i]);
  }
  waiting.count = 0;
}

}  // namespace dsv
