#include "kernels/topk.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

namespace dsv {
namespace {

constexpr uint32_t kNanBits = 0;

// Maps floats to unsigned integers of the same order, with -0 = +0 and NaN below everything.
uint32_t OrderedBits(float score) {
  if (std::isnan(score)) return kNanBits;
  const auto bits = std::bit_cast<uint32_t>(score + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

// The inverse; all NaNs are one.
float FloatOfOrderedBits(uint32_t bits) {
  if (bits == kNanBits) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>((bits & 0x80000000U) != 0 ? bits & 0x7FFFFFFFU : ~bits);
}

}  // namespace

float TopK::Threshold() const { return FloatOfOrderedBits(static_cast<uint32_t>(threshold_ >> 32)); }

void TopK::Offer(const float* scores, int64_t count, int64_t first) {
  // Indices ascend, so that beside a threshold only a larger score can get in.
  if (const float least = Threshold(); !std::isnan(least)) {
    int larger = 0;
    for (int64_t i = 0; i < count; ++i) larger |= static_cast<int>(scores[i] > least);
    if (larger == 0) return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<uint32_t>(first + i);
    const uint64_t key = (static_cast<uint64_t>(OrderedBits(scores[i])) << 32) | ~index;
    if (key <= threshold_) continue;
    keys_.push_back(key);
    if (static_cast<int64_t>(keys_.size()) >= 2 * k_ + 64) Prune();
  }
}

void TopK::Merge(const TopK& other) {
  keys_.insert(keys_.end(), other.keys_.begin(), other.keys_.end());
}

void TopK::Prune() {
  if (static_cast<int64_t>(keys_.size()) <= k_) return;
  const auto last = keys_.begin() + (k_ - 1);
  std::nth_element(keys_.begin(), last, keys_.end(), std::greater<>());
  threshold_ = *last;
  keys_.resize(static_cast<size_t>(k_));
}

void TopK::Finish(std::vector<int64_t>& indices) {
  Prune();
  indices.resize(keys_.size());
  std::transform(keys_.begin(), keys_.end(), indices.begin(),
                 [](uint64_t key) { return static_cast<int64_t>(~static_cast<uint32_t>(key)); });
  std::sort(indices.begin(), indices.end());
}

}  // namespace dsv
