// The engine under threads: short enough for ThreadSanitizer.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

const std::string kModel = DSV_TEST_DATA "/models/window-tiny";

using Tokens = std::vector<TokenId>;

Tokens SomeTokens(size_t n, uint32_t seed) {
  Tokens tokens(n);
  for (size_t i = 0; i < n; ++i) {
    seed = seed * 1664525U + 1013904223U;
    tokens[i] = static_cast<TokenId>(seed >> 24U);
  }
  return tokens;
}

// All logits, then all MTP logits, of the tokens fed in pieces.
std::vector<float> Feed(const Engine& engine, const Tokens& tokens, size_t piece) {
  Session session = engine.NewSession(/*mtp=*/true).value();
  std::vector<float> all;
  std::vector<float> mtp;
  for (size_t begin = 0; begin < tokens.size(); begin += piece) {
    const Work work{&session,
                    std::span(tokens).subspan(begin, std::min(piece, tokens.size() - begin)),
                    LogitRows::kAll, LogitRows::kAll};
    const auto result = engine.Forward(std::span(&work, 1)).value().front();
    all.insert(all.end(), result.logits.begin(), result.logits.end());
    mtp.insert(mtp.end(), result.mtp_logits.begin(), result.mtp_logits.end());
  }
  all.insert(all.end(), mtp.begin(), mtp.end());
  return all;
}

TEST(Threads, AnyNumberGivesTheSameBits) {
  const Tokens tokens = SomeTokens(36, 1);
  for (const Precision precision : {Precision::kReference, Precision::kF32}) {
    const Engine one =
        Engine::Open(kModel, {.threads = 1, .precision = precision, .chunk = 32}).value();
    const auto expected = Feed(one, tokens, 9);
    for (const int64_t threads : {2, 4, 7}) {
      const Engine engine =
          Engine::Open(kModel, {.threads = threads, .precision = precision, .chunk = 32}).value();
      EXPECT_EQ(Feed(engine, tokens, 9), expected) << threads;
    }
  }
}

TEST(Threads, SeveralCallersTakeTurns) {
  const Engine engine = Engine::Open(kModel, {.threads = 2}).value();
  std::vector<Tokens> texts;
  std::vector<std::vector<float>> expected;
  for (uint32_t i = 0; i < 3; ++i) {
    texts.push_back(SomeTokens(20 + i, 10 + i));
    expected.push_back(Feed(engine, texts.back(), 7));
  }
  std::vector<std::vector<float>> got(texts.size());
  std::vector<std::thread> callers;
  for (size_t i = 0; i < texts.size(); ++i) {
    callers.emplace_back([&, i] { got[i] = Feed(engine, texts[i], 5 + i); });
  }
  for (std::thread& caller : callers) caller.join();
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(got[i], expected[i]) << i;
}

TEST(Threads, TwoEnginesInOneProcess) {
  const Tokens tokens = SomeTokens(24, 5);
  std::vector<std::vector<float>> got(2);
  std::vector<std::thread> callers;
  for (size_t i = 0; i < 2; ++i) {
    callers.emplace_back([&, i] {
      const Engine engine = Engine::Open(kModel, {.threads = static_cast<int64_t>(2 + i)}).value();
      got[i] = Feed(engine, tokens, 24);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(got[0], got[1]);
}

}  // namespace
}  // namespace dsv4
