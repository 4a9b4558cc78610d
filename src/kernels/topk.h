// Exact streaming selection of the k largest scores; ties go to the lower index (spec 4.8).
#pragma once

#include <cstdint>
#include <vector>

namespace dsv {

// Memory is O(k) however many scores are offered. -0 and +0 are equal; a NaN loses to every number.
class TopK {
 public:
  explicit TopK(int64_t k) : k_(k) {}

  void Clear() {
    keys_.clear();
    threshold_ = 0;
  }

  // Offers scores[0..count) of the indices first, first + 1, ... < 2^32; indices must ascend over
  // calls.
  void Offer(const float* scores, int64_t count, int64_t first);

  // A score that is not above this cannot get in with an index above all offered; a NaN while every
  // score may.
  float Threshold() const;

  // Takes over what another selection of as many was offered: other indices.
  void Merge(const TopK& other);

  // The chosen indices, ascending: min(k, offered) of them. Ends the selection until Clear.
  void Finish(std::vector<int64_t>& indices);

 private:
  void Prune();

  int64_t k_;
  uint64_t threshold_ = 0;      // keys not above it cannot be among the k largest
  std::vector<uint64_t> keys_;  // score in the high half, complement of the index in the low half
};

}  // namespace dsv
