#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

using Logits = std::vector<float>;

Sampler Make(const SamplingOptions& options) { return Sampler::Create(options).value(); }

std::vector<TokenId> Draw(const SamplingOptions& options, const Logits& logits, int64_t n) {
  Sampler sampler = Make(options);
  std::vector<TokenId> tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(sampler.Sample(logits));
  return tokens;
}

std::set<TokenId> Support(const SamplingOptions& options, const Logits& logits) {
  const auto tokens = Draw(options, logits, 2000);
  return {tokens.begin(), tokens.end()};
}

// Logits of the probabilities 0.15, 0.5, 0.05, 0.3.
const Logits kFour{std::log(0.15F), std::log(0.5F), std::log(0.05F), std::log(0.3F)};
using Ids = std::set<TokenId>;

TEST(Greedy, TiesGoToTheLowerId) {
  EXPECT_EQ(Draw({.temperature = 0}, {1, 3, 3, 2, 3}, 1).front(), 1);
  EXPECT_EQ(Draw({.temperature = 0}, {-0.0F, 0.0F}, 1).front(), 0);
}

TEST(Greedy, IgnoresNan) {
  EXPECT_EQ(Draw({.temperature = 0}, {kNan, -5, kNan, -4}, 1).front(), 3);
  EXPECT_EQ(Draw({.temperature = 0}, {kNan, kNan}, 1).front(), 0);
  EXPECT_EQ(Draw({.temperature = 0}, {-kInf, -kInf, 1}, 1).front(), 2);
}

TEST(Sampling, TopK) {
  EXPECT_EQ(Support({.top_k = 1}, kFour), (Ids{1}));
  EXPECT_EQ(Support({.top_k = 2}, kFour), (Ids{1, 3}));
  EXPECT_EQ(Support({.top_k = 100}, kFour), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(Support({.top_k = 2}, {2, 2, 2, 2}), (Ids{0, 1}));  // ties to the lower id
}

TEST(Sampling, TopP) {
  EXPECT_EQ(Support({.top_p = 0.49}, kFour), (Ids{1}));
  EXPECT_EQ(Support({.top_p = 0.51}, kFour), (Ids{1, 3}));
  EXPECT_EQ(Support({.top_p = 0.81}, kFour), (Ids{0, 1, 3}));
  EXPECT_EQ(Support({.top_p = 0.96}, kFour), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(Support({.top_p = 1e-9}, kFour), (Ids{1}));
  // More candidates than are sorted at once.
  const Ids half = Support({.top_p = 0.5}, Logits(200, 1.0F));
  EXPECT_EQ(half.size(), 100u);
  EXPECT_EQ(*half.rbegin(), 99);
}

TEST(Sampling, MinP) {
  EXPECT_EQ(Support({.min_p = 0.2}, kFour), (Ids{0, 1, 3}));
  EXPECT_EQ(Support({.min_p = 0.31}, kFour), (Ids{1, 3}));
  EXPECT_EQ(Support({.min_p = 1}, kFour), (Ids{1}));
}

TEST(Sampling, StepsFollowEachOther) {
  // Of the two that top-k leaves, the first has 0.625 of the weight.
  EXPECT_EQ(Support({.top_p = 0.6, .top_k = 2}, kFour), (Ids{1}));
  // Temperature comes before min-p: at 2 the least likely has 0.32 of the weight of the best.
  EXPECT_EQ(Support({.temperature = 2, .min_p = 0.3}, kFour), (Ids{0, 1, 2, 3}));
}

TEST(Sampling, NeverDrawsWhatHasNoProbability) {
  EXPECT_EQ(Support({}, {kNan, 0, kNan, 0, kNan}), (Ids{1, 3}));
  EXPECT_EQ(Support({}, {-kInf, 0, 0, -kInf}), (Ids{1, 2}));
  EXPECT_EQ(Support({.top_p = 0.9, .top_k = 4}, {-kInf, kNan, 0, -kInf}), (Ids{2}));
  EXPECT_EQ(Support({.top_p = 0.9, .top_k = 3}, {1, kInf, kNan, 2}), (Ids{1}));
  // Nothing is likely: any token, but a token.
  for (const TokenId id : Support({.top_p = 0.9}, {kNan, -kInf, kNan})) {
    EXPECT_TRUE(id >= 0 && id < 3);
  }
}

TEST(Penalties, RepetitionSeesPromptAndReply) {
  const SamplingOptions options{.temperature = 0, .repetition_penalty = 2};
  Sampler sampler = Make(options);
  const std::vector<TokenId> prompt{0, 3, 3};
  sampler.AcceptPrompt(prompt);
  // Positive logits are halved, negative doubled, once however often the token was seen.
  EXPECT_EQ(sampler.Sample(Logits{3.0F, 1.6F, 1.0F, 3.1F}), 1);
  EXPECT_EQ(sampler.Sample(Logits{-1.0F, -1.2F, -1.9F, -1.0F}), 2);
}

TEST(Penalties, PresenceAndFrequencySeeTheReplyOnly) {
  Sampler presence = Make({.temperature = 0, .presence_penalty = 1});
  const std::vector<TokenId> prompt{0, 0, 0};
  presence.AcceptPrompt(prompt);
  EXPECT_EQ(presence.Sample(Logits{2, 1.5F, 0}), 0);
  EXPECT_EQ(presence.Sample(Logits{2, 1.5F, 0}), 1);
  EXPECT_EQ(presence.Sample(Logits{2, 1.5F, 0}), 0);  // once, not for every time

  Sampler frequency = Make({.temperature = 0, .frequency_penalty = 1});
  std::vector<TokenId> tokens;
  for (int i = 0; i < 4; ++i) tokens.push_back(frequency.Sample(Logits{2.2F, 1, 0.1F}));
  EXPECT_EQ(tokens, (std::vector<TokenId>{0, 0, 1, 0}));
}

TEST(Penalties, LogitBias) {
  EXPECT_EQ(Support({.logit_bias = {{1, -1e6}, {3, -1e6}}}, kFour), (Ids{0, 2}));
  EXPECT_EQ(Draw({.temperature = 0, .logit_bias = {{2, 100.0}}}, kFour, 1).front(), 2);
  EXPECT_EQ(Support({.logit_bias = {{1000, 1e6}}}, kFour), (Ids{0, 1, 2, 3}));
}

TEST(Seed, GivesTheSameTokensAgain) {
  const auto first = Draw({.seed = 7}, kFour, 200);
  EXPECT_EQ(first, Draw({.seed = 7}, kFour, 200));
  EXPECT_NE(first, Draw({.seed = 8}, kFour, 200));
}

// Pearson's statistic of n draws against the expected probabilities.
double ChiSquare(const SamplingOptions& options, const Logits& logits,
                 const std::vector<double>& expected) {
  constexpr int64_t kDraws = 20000;
  std::vector<double> counts(expected.size());
  for (const TokenId token : Draw(options, logits, kDraws)) counts[static_cast<size_t>(token)] += 1;
  double sum = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double wanted = expected[i] * kDraws;
    if (wanted > 0) {
      sum += (counts[i] - wanted) * (counts[i] - wanted) / wanted;
    } else {
      EXPECT_EQ(counts[i], 0);
    }
  }
  return sum;
}

TEST(Distribution, FollowsTheProbabilities) {
  // The 0.999 quantile for 3 degrees of freedom is 16.3, for 2 it is 13.8.
  for (const uint64_t seed : {1U, 2U, 3U}) {
    EXPECT_LT(ChiSquare({.seed = seed}, kFour, {0.15, 0.5, 0.05, 0.3}), 16.3);
    // Temperature 0.5 squares the probabilities.
    const double total = 0.0225 + 0.25 + 0.0025 + 0.09;
    EXPECT_LT(ChiSquare({.temperature = 0.5, .seed = seed}, kFour,
                        {0.0225 / total, 0.25 / total, 0.0025 / total, 0.09 / total}),
              16.3);
    EXPECT_LT(
        ChiSquare({.top_p = 0.9, .seed = seed}, kFour, {0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95}),
        13.8);
  }
}

TEST(Options, RefusesWhatIsOutOfRange) {
  constexpr double kDoubleNan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::pair<std::string, SamplingOptions>> refused{
      {"temperature", {.temperature = -0.1}},
      {"temperature", {.temperature = kDoubleNan}},
      {"temperature", {.temperature = std::numeric_limits<double>::infinity()}},
      {"top_p", {.top_p = 0}},
      {"top_p", {.top_p = 1.01}},
      {"top_k", {.top_k = -1}},
      {"min_p", {.min_p = -0.5}},
      {"min_p", {.min_p = 1.5}},
      {"repetition_penalty", {.repetition_penalty = 0}},
      {"presence_penalty", {.presence_penalty = kDoubleNan}},
      {"frequency_penalty", {.frequency_penalty = 1e9}},
      {"logit_bias", {.logit_bias = {{-1, 0.0}}}},
      {"logit_bias", {.logit_bias = {{1, kDoubleNan}}}}};
  for (const auto& [name, options] : refused) {
    const auto sampler = Sampler::Create(options);
    ASSERT_FALSE(sampler) << name;
    EXPECT_NE(sampler.error().message.find(name), std::string::npos) << sampler.error().message;
  }
}

}  // namespace
}  // namespace dsv4
