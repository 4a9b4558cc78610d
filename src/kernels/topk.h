// Exact streaming selection of the k largest scores; ties go to the lower index (spec 4.8).
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace dsv {

// Memory is O(k) however many scores are offered. -0 and +0 are equal; a NaN loses to every number.
class TopK {
 public:
  explicit TopK(int64_t k) : k_(k) {}

  // Offers scores[0..count) of the indices first, first + 1, ... < 2^32; indices must ascend over
  // calls.
  void Offer(const float* scores, int64_t count, int64_t first);

  // A score that is not above this cannot get in with an index above all offered; a NaN while every
  // score may.
  float Threshold() const;

  // Takes over what another selection of as many was offered: indices above all offered here.
  void Merge(const TopK& other);

  // The chosen indices, ascending: min(k, offered) of them. Ends the selection.
  void Finish(std::vector<int64_t>& indices);

 private:
  void OfferEach(const float* scores, int64_t count, int64_t first);
  void Reserve(int64_t count);
  void Prune();

  int64_t k_;
  int64_t floor_ = std::numeric_limits<int64_t>::min();  // only values above it can get in
  // Those kept, of ascending index: integers of the same order as the scores. Room for more follows.
  int64_t size_ = 0;
  std::vector<int32_t> values_;
  std::vector<uint32_t> indices_;
};

}  // namespace dsv
