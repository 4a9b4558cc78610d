#include "tokenizer/merges.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace dsv {
namespace {

struct Rule {
  int32_t left;
  int32_t right;
  int32_t merged;
};

// Byte b is token b.
Merges MakeMerges(const std::vector<Rule>& rules) {
  std::array<int32_t, 256> bytes{};
  for (int32_t b = 0; b < 256; ++b) bytes[static_cast<size_t>(b)] = b;
  Merges merges(bytes, static_cast<int64_t>(rules.size()));
  for (const Rule& rule : rules) EXPECT_TRUE(merges.Add(rule.left, rule.right, rule.merged));
  return merges;
}

// The definition: as long as a rule applies, apply the first one at its leftmost place.
std::vector<int32_t> ApplyByDefinition(const std::vector<Rule>& rules, const std::string& piece) {
  std::vector<int32_t> tokens;
  for (const char c : piece) tokens.push_back(static_cast<unsigned char>(c));
  for (size_t r = 0; r < rules.size();) {
    size_t i = 0;
    while (i + 1 < tokens.size() &&
           (tokens[i] != rules[r].left || tokens[i + 1] != rules[r].right)) {
      ++i;
    }
    if (i + 1 >= tokens.size()) {
      ++r;
      continue;
    }
    tokens[i] = rules[r].merged;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    r = 0;
  }
  return tokens;
}

std::vector<int32_t> Apply(const Merges& merges, const std::string& piece) {
  std::vector<int32_t> tokens;
  merges.Apply(piece, tokens);
  return tokens;
}

TEST(Merges, LowestRankFirstThenLeftmost) {
  const Merges merges = MakeMerges({{'b', 'c', 256}, {'a', 'b', 257}, {'a', 'a', 258}});
  EXPECT_EQ(Apply(merges, "abc"), (std::vector<int32_t>{'a', 256}));
  EXPECT_EQ(Apply(merges, "aaa"), (std::vector<int32_t>{258, 'a'}));
  EXPECT_EQ(Apply(merges, ""), (std::vector<int32_t>{}));
}

TEST(Merges, RefusesAPairTwice) {
  Merges merges = MakeMerges({});
  EXPECT_EQ(Apply(merges, "ab"), (std::vector<int32_t>{'a', 'b'}));
  Merges one({}, 1);
  EXPECT_TRUE(one.Add(1, 2, 3));
  Merges two({}, 2);
  EXPECT_TRUE(two.Add(1, 2, 3));
  EXPECT_FALSE(two.Add(1, 2, 4));
}

// Random rules over a small alphabet, pieces around and far above the size where the method
// changes.
TEST(Merges, AgreeWithTheDefinitionAtEverySize) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 60; ++round) {
    std::vector<Rule> rules;
    std::vector<int32_t> known = {'a', 'b', 'c'};
    std::vector<std::pair<int32_t, int32_t>> pairs;
    while (rules.size() < 40) {
      const std::pair pair(known[random() % known.size()], known[random() % known.size()]);
      if (std::find(pairs.begin(), pairs.end(), pair) != pairs.end()) continue;
      pairs.push_back(pair);
      known.push_back(256 + static_cast<int32_t>(rules.size()));
      rules.push_back({pair.first, pair.second, known.back()});
    }
    const Merges merges = MakeMerges(rules);
    for (const size_t size : {1u, 2u, 5u, 30u, 95u, 96u, 97u, 98u, 400u}) {
      std::string piece;
      while (piece.size() < size) piece += static_cast<char>('a' + random() % 3);
      EXPECT_EQ(Apply(merges, piece), ApplyByDefinition(rules, piece)) << piece;
    }
  }
}

}  // namespace
}  // namespace dsv
