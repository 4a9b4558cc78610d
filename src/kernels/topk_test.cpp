#include "kernels/topk.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/reference/reference.h"

namespace dsv {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Offers the scores in pieces of `piece`.
std::vector<int64_t> Select(const std::vector<float>& scores, int64_t k, int64_t piece) {
  TopK top(k);
  const auto n = static_cast<int64_t>(scores.size());
  for (int64_t begin = 0; begin < n; begin += piece) {
    top.Offer(scores.data() + begin, std::min(piece, n - begin), begin);
  }
  std::vector<int64_t> indices;
  top.Finish(indices);
  return indices;
}

// Few distinct values, so that ties at the cut are the rule; special values in between.
std::vector<float> RandomScores(std::mt19937& random, size_t n) {
  std::vector<float> scores(n);
  for (float& score : scores) {
    const auto pick = static_cast<uint32_t>(random() % 40);
    score = pick == 0   ? kNan
            : pick == 1 ? kInf
            : pick == 2 ? -kInf
            : pick == 3 ? -0.0F
                        : static_cast<float>(static_cast<int>(pick) - 20) / 4.0F;
  }
  return scores;
}

TEST(TopK, TiesGoToTheLowerIndex) {
  EXPECT_EQ(Select({1, 2, 2, 2, 0}, 2, 5), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(Select({0, 0, 0, 0}, 3, 1), (std::vector<int64_t>{0, 1, 2}));
}

TEST(TopK, ZerosOfBothSignsAreATie) {
  EXPECT_EQ(Select({-0.0F, 0.0F, -0.0F, 0.0F}, 2, 4), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(Select({-1.0F, -0.0F, 0.0F}, 1, 3), (std::vector<int64_t>{1}));
}

TEST(TopK, NanLosesToEverything) {
  EXPECT_EQ(Select({kNan, -kInf, kNan, 3.0F, -kNan}, 2, 5), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(Select({kNan, kNan, kNan}, 2, 3), (std::vector<int64_t>{0, 1}));
}

TEST(TopK, MergedPartsAreTheWhole) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    const std::vector<float> scores = RandomScores(random, 400);
    for (const int64_t k : {1, 7, 100, 500}) {
      TopK front(k);
      TopK back(k);
      front.Offer(scores.data(), 150, 0);
      back.Offer(scores.data() + 150, 250, 150);
      front.Merge(back);
      std::vector<int64_t> indices;
      front.Finish(indices);
      ASSERT_EQ(indices, Select(scores, k, 400)) << k;
    }
  }
}

TEST(TopK, TakesAllWhenTheyFit) {
  EXPECT_EQ(Select({3, 1, 2}, 3, 2), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(Select({3, 1}, 100, 1), (std::vector<int64_t>{0, 1}));
  EXPECT_TRUE(Select({}, 4, 1).empty());
}

TEST(TopK, EqualsASortForAnyPieces) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    const auto scores = RandomScores(random, random() % 700);
    const auto k = static_cast<int64_t>(1 + random() % 70);
    const auto expected = reference::TopK(scores, k);
    for (const int64_t piece : {int64_t{1}, int64_t{7}, int64_t{64}, int64_t{1000}}) {
      ASSERT_EQ(Select(scores, k, piece), expected) << "k " << k << " pieces of " << piece;
    }
  }
}

TEST(TopK, IndicesAboveTwoToTheThirtyOne) {
  TopK top(2);
  const int64_t first = (int64_t{1} << 31) + 5;
  const std::vector<float> scores{1.0F, 3.0F, 2.0F};
  top.Offer(scores.data(), 3, first);
  std::vector<int64_t> indices;
  top.Finish(indices);
  EXPECT_EQ(indices, (std::vector<int64_t>{first + 1, first + 2}));
}

}  // namespace
}  // namespace dsv
