#include "kernels/topk.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>

namespace dsv {
namespace {

constexpr int64_t kPiece = 32;  // scores that are compared with the threshold at a time
constexpr int32_t kNanValue = std::numeric_limits<int32_t>::min();

// Exchanges the bits of a float and an integer, so that both have the same order.
int32_t Mirror(int32_t bits) { return bits ^ (bits >> 31 & 0x7FFFFFFF); }

// With -0 = +0 and NaN below everything.
int32_t OrderedValue(float score) {
  const int32_t value = Mirror(std::bit_cast<int32_t>(score + 0.0F));
  return std::isnan(score) ? kNanValue : value;
}

float ScoreOf(int32_t value) {
  if (value == kNanValue) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(Mirror(value));
}

bool AnyAbove(const float* scores, int64_t count, float limit) {
  int any = 0;
  for (int64_t i = 0; i < count; ++i) any |= static_cast<int>(scores[i] > limit);
  return any != 0;
}

int64_t CountAbove(std::span<const int32_t> values, int32_t limit) {
  int32_t count = 0;
  for (const int32_t value : values) count += static_cast<int32_t>(value > limit);
  return count;
}

int32_t Largest(std::span<const int32_t> values) {
  int32_t largest = kNanValue;
  for (const int32_t value : values) largest = std::max(largest, value);
  return largest;
}

// A value with fewer than k values above it and with it at least k, or with exactly k above it;
// k < values.size(). Bisection: a count is a few vector instructions, and no branch depends on data.
int32_t Cut(std::span<const int32_t> values, int64_t k) {
  int64_t low = kNanValue;  // k or more values are not below it
  int64_t high = Largest(values);
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const int64_t above = CountAbove(values, static_cast<int32_t>(middle));
    if (above == k) return static_cast<int32_t>(middle);
    if (above < k) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return static_cast<int32_t>(low);
}

}  // namespace

float TopK::Threshold() const {
  return floor_ < kNanValue ? std::numeric_limits<float>::quiet_NaN()
                            : ScoreOf(static_cast<int32_t>(floor_));
}

void TopK::Reserve(int64_t count) {
  if (std::ssize(values_) >= count) return;
  values_.resize(static_cast<size_t>(count));
  indices_.resize(static_cast<size_t>(count));
}

void TopK::Offer(const float* scores, int64_t count, int64_t first) {
  Reserve(2 * k_ + 2 * kPiece);
  for (int64_t begin = 0; begin < count; begin += kPiece) {
    const int64_t some = std::min(kPiece, count - begin);
    const float least = Threshold();
    if (std::isnan(least) || AnyAbove(scores + begin, some, least)) {
      OfferEach(scores + begin, some, first + begin);
    }
  }
}

void TopK::OfferEach(const float* scores, int64_t count, int64_t first) {
  for (int64_t i = 0; i < count; ++i) {
    const int32_t value = OrderedValue(scores[i]);
    values_[static_cast<size_t>(size_)] = value;
    indices_[static_cast<size_t>(size_)] = static_cast<uint32_t>(first + i);
    size_ += static_cast<int64_t>(value > floor_);
  }
  if (size_ + kPiece > std::ssize(values_)) Prune();
}

void TopK::Merge(const TopK& other) {
  const auto at = static_cast<ptrdiff_t>(size_);
  Reserve(size_ + other.size_);
  std::copy_n(other.values_.begin(), other.size_, values_.begin() + at);
  std::copy_n(other.indices_.begin(), other.size_, indices_.begin() + at);
  size_ += other.size_;
  Prune();
}

// Keeps the k largest, of equal values those that came first.
void TopK::Prune() {
  if (size_ <= k_) return;
  const std::span values(values_.data(), static_cast<size_t>(size_));
  const int32_t cut = Cut(values, k_);
  int64_t equal = k_ - CountAbove(values, cut);
  int32_t least = std::numeric_limits<int32_t>::max();
  size_t kept = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const int32_t value = values[i];
    const bool is_tie = value == cut && equal > 0;
    const bool is_kept = value > cut || is_tie;
    equal -= static_cast<int64_t>(is_tie);
    values[kept] = value;
    indices_[kept] = indices_[i];
    kept += static_cast<size_t>(is_kept);
    least = is_kept ? std::min(least, value) : least;
  }
  size_ = k_;
  floor_ = least;
}

void TopK::Finish(std::vector<int64_t>& indices) {
  Prune();
  indices.assign(indices_.begin(), indices_.begin() + static_cast<ptrdiff_t>(size_));
}

}  // namespace dsv
