// The law of design.md section 1, bit for bit, through the public header: what follows a token
// depends only on the tokens before it in its own session. Every model, both precisions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "dsv4/dsv4.h"
#include "support/model_fixture.h"

namespace dsv4 {
namespace {

using dsv::testing::CheckpointOf;
using dsv::testing::ModelNames;
using dsv::testing::Vectors;
using dsv::testing::VectorsOf;

using Tokens = std::vector<TokenId>;

// Tokens fed where the law is tested with many small passes: enough for the window to wrap, the
// indexer to select and an HCA group to close.
constexpr size_t kShort = 140;
// Tokens fed where passes are long: in the quick models two HCA groups and the beginning of a
// third.
size_t LongOf(const std::string& model) {
  return model == "flash-tiny" || model == "pro-tiny" || model == "needle-text" ? 180 : 280;
}

#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// All models with the best instruction set; with a forced one, and under sanitizers, which make the
// test ten times slower, those that cover the layer kinds and weight formats between them.
std::vector<std::string> LawModels() {
  if (!kSanitized && dsv::ForcedIsa().empty()) return ModelNames();
  return {"window-tiny", "base-tiny", "f32-tiny"};
}

Tokens TokensOf(const std::string& model) {
  Tokens tokens = Vectors(VectorsOf(model) / "golden.safetensors").Ints<TokenId>("tokens");
  tokens.resize(std::min(tokens.size(), LongOf(model)));
  return tokens;
}

Engine Open(const std::string& model, Precision precision, int64_t threads, int64_t chunk) {
  return Engine::Open(CheckpointOf(model).string(),
                      {.threads = threads, .precision = precision, .chunk = chunk})
      .value();
}

// All logits of one timeline.
struct Timeline {
  std::vector<float> logits;      // [T, V]
  std::vector<float> mtp_logits;  // [T - 1, V]

  void Append(const WorkLogits& part) {
    logits.insert(logits.end(), part.logits.begin(), part.logits.end());
    mtp_logits.insert(mtp_logits.end(), part.mtp_logits.begin(), part.mtp_logits.end());
  }
};

Work WorkOf(Session& session, std::span<const TokenId> tokens) {
  return {&session, tokens, LogitRows::kAll, LogitRows::kAll};
}

// Feeds tokens in pieces of the given sizes, the last size repeated.
Timeline Feed(const Engine& engine, std::span<const TokenId> tokens,
              const std::vector<size_t>& sizes) {
  Session session = engine.NewSession(/*mtp=*/true).value();
  Timeline timeline;
  size_t piece = 0;
  for (size_t begin = 0; begin < tokens.size(); ++piece) {
    const size_t size = std::min(sizes[std::min(piece, sizes.size() - 1)], tokens.size() - begin);
    const Work work = WorkOf(session, tokens.subspan(begin, size));
    timeline.Append(engine.Forward(std::span(&work, 1)).value().front());
    begin += size;
  }
  return timeline;
}

// The first `rows` rows of both must have the same bits.
void ExpectPrefix(const std::vector<float>& whole, const std::vector<float>& part,
                  const std::string& what) {
  ASSERT_LE(part.size(), whole.size()) << what;
  if (std::memcmp(whole.data(), part.data(), part.size() * sizeof(float)) == 0) return;
  const auto same = std::mismatch(part.begin(), part.end(), whole.begin());
  ADD_FAILURE() << what << ": element " << same.first - part.begin() << " of " << part.size()
                << ": expected " << *same.second << ", found " << *same.first;
}

// `part` is a timeline of the first T tokens of `whole`.
void ExpectSame(const Timeline& whole, const Timeline& part, size_t tokens, size_t vocab,
                const std::string& what) {
  EXPECT_EQ(part.logits.size(), tokens * vocab) << what;
  EXPECT_EQ(part.mtp_logits.size(), (tokens - 1) * vocab) << what;
  ExpectPrefix(whole.logits, part.logits, what + ", logits");
  ExpectPrefix(whole.mtp_logits, part.mtp_logits, what + ", MTP logits");
}

std::vector<size_t> RandomCuts(uint32_t seed, size_t total) {
  std::mt19937 random(seed);
  std::vector<size_t> sizes;
  for (size_t sum = 0; sum < total; sum += sizes.back()) {
    // Short and long pieces alike: a power of two up to 128, times something up to two.
    const size_t base = size_t{1} << (random() % 8);
    sizes.push_back(base + random() % base);
  }
  return sizes;
}

// One model in one precision, and its one-shot result. Made once for all tests of it.
struct Subject {
  Subject(std::string name, Precision p)
      : model(std::move(name)),
        precision(p),
        tokens(TokensOf(model)),
        engine(Open(model, p, /*threads=*/2, /*chunk=*/1024)),
        whole(Feed(engine, tokens, {tokens.size()})) {}

  static const Subject& Get(const std::string& name, Precision p) {
    static std::map<std::pair<std::string, Precision>, std::unique_ptr<Subject>> all;
    auto& subject = all[{name, p}];
    if (subject == nullptr) subject = std::make_unique<Subject>(name, p);
    return *subject;
  }

  std::string model;
  Precision precision;
  Tokens tokens;
  Engine engine;
  Timeline whole;
};

class Laws : public ::testing::TestWithParam<std::tuple<std::string, Precision>> {
 protected:
  Laws() : subject_(Subject::Get(std::get<0>(GetParam()), std::get<1>(GetParam()))) {}

  Engine OpenAgain(int64_t threads, int64_t chunk) const {
    return Open(subject_.model, subject_.precision, threads, chunk);
  }
  size_t vocab() const { return static_cast<size_t>(engine_.info().vocab_size); }
  Tokens Prefix(size_t length) const {
    return {tokens_.begin(),
            tokens_.begin() + static_cast<ptrdiff_t>(std::min(length, tokens_.size()))};
  }
  void ExpectLaw(const Timeline& part, size_t tokens, const std::string& what) const {
    ExpectSame(whole_, part, tokens, vocab(), subject_.model + ": " + what);
  }

  const Subject& subject_;
  const Tokens& tokens_ = subject_.tokens;
  const Engine& engine_ = subject_.engine;
  const Timeline& whole_ = subject_.whole;
};

TEST_P(Laws, OneShotHasAllRows) { ExpectLaw(whole_, tokens_.size(), "one shot"); }

TEST_P(Laws, TokenByToken) {
  const Engine one_thread = OpenAgain(1, 1024);
  ExpectLaw(Feed(one_thread, Prefix(kShort), {1}), kShort, "token by token");
}

TEST_P(Laws, SmallPieces) {
  const Engine one_thread = OpenAgain(1, 1024);
  for (const size_t size : {3U, 4U, 5U}) {
    ExpectLaw(Feed(one_thread, Prefix(kShort), {size}), kShort,
              "pieces of " + std::to_string(size));
  }
}

TEST_P(Laws, LargePieces) {
  for (const size_t size : {127U, 128U, 129U}) {
    ExpectLaw(Feed(engine_, tokens_, {size}), tokens_.size(), "pieces of " + std::to_string(size));
  }
}

TEST_P(Laws, RandomCuts) {
  const Engine one_thread = OpenAgain(1, 1024);
  for (const uint32_t seed : {1U, 2U, 3U}) {
    ExpectLaw(Feed(one_thread, tokens_, RandomCuts(seed, tokens_.size())), tokens_.size(),
              "random cuts " + std::to_string(seed));
  }
}

TEST_P(Laws, OtherPassSizes) {
  for (const int64_t chunk : {7, 37}) {
    const Engine engine = OpenAgain(1, chunk);
    ExpectLaw(Feed(engine, Prefix(kShort), {kShort}), kShort, "chunk " + std::to_string(chunk));
  }
}

TEST_P(Laws, OtherThreadCounts) {
  for (const int64_t threads : {1, 3, 5}) {
    const Engine engine = OpenAgain(threads, 64);
    ExpectLaw(Feed(engine, Prefix(kShort), {kShort - 8, 1}), kShort,
              std::to_string(threads) + " threads");
  }
}

// Feeds four timelines (prefixes and a reversed text) in one batch at a time, each at its own
// pace: a prompt in one piece, one that is read in pieces, one that is being decoded, a short one
// that starts late. `reverse` changes the order of the works.
std::vector<Timeline> FeedBatched(const Engine& engine, const std::vector<Tokens>& texts,
                                  bool reverse) {
  const std::vector<std::vector<size_t>> paces{{131, 1}, {50, 3, 40}, {2, 1, 1, 1}, {0, 0, 1, 2}};
  std::vector<Session> sessions;
  for (size_t i = 0; i < texts.size(); ++i) sessions.push_back(engine.NewSession(true).value());
  std::vector<Timeline> timelines(texts.size());
  for (size_t step = 0; step < 12; ++step) {
    std::vector<Work> works;
    std::vector<size_t> owners;
    for (size_t k = 0; k < texts.size(); ++k) {
      const size_t i = reverse ? texts.size() - 1 - k : k;
      const auto fed = static_cast<size_t>(sessions[i].size());
      const size_t count =
          std::min(paces[i][std::min(step, paces[i].size() - 1)], texts[i].size() - fed);
      if (count == 0) continue;
      works.push_back(WorkOf(sessions[i], std::span(texts[i]).subspan(fed, count)));
      owners.push_back(i);
    }
    if (works.empty()) break;
    const std::vector<WorkLogits> results = engine.Forward(works).value();
    for (size_t w = 0; w < works.size(); ++w) timelines[owners[w]].Append(results[w]);
  }
  return timelines;
}

TEST_P(Laws, SharedBatches) {
  const Tokens reversed(tokens_.rbegin(), tokens_.rend());
  const std::vector<Tokens> texts{tokens_, reversed, tokens_, reversed};
  const Timeline whole_reversed = Feed(engine_, std::span(reversed).first(kShort), {kShort});
  const Engine small_passes = OpenAgain(1, 16);
  for (const bool reverse : {false, true}) {
    const auto timelines = FeedBatched(reverse ? small_passes : engine_, texts, reverse);
    for (size_t i = 0; i < timelines.size(); ++i) {
      const Timeline& expected = i % 2 == 0 ? whole_ : whole_reversed;
      Timeline part = timelines[i];
      part.logits.resize(std::min(part.logits.size(), expected.logits.size()));
      part.mtp_logits.resize(std::min(part.mtp_logits.size(), expected.mtp_logits.size()));
      ExpectSame(expected, part, part.logits.size() / vocab(), vocab(),
                 subject_.model + ": batch, work " + std::to_string(i));
    }
  }
}

// A prompt shorter than a CSA group must not see anything of an earlier session (spec 6.4).
TEST_P(Laws, ShortPromptAfterAnotherSession) {
  Feed(engine_, std::span(tokens_).last(23), {7});
  for (const size_t length : {1U, 2U, 3U}) {
    ExpectLaw(Feed(engine_, Prefix(10), {length, 1}), 10, "a prompt of " + std::to_string(length));
  }
}

// Logits of the last token only, and none at all, leave the same state.
TEST_P(Laws, WantedRowsDoNotMatter) {
  Session session = engine_.NewSession(true).value();
  const Work silent{&session, std::span(tokens_).first(40), LogitRows::kNone, LogitRows::kNone};
  EXPECT_TRUE(engine_.Forward(std::span(&silent, 1)).value().front().logits.empty());
  const Work last{&session, std::span(tokens_).subspan(40, 30), LogitRows::kLast, LogitRows::kLast};
  const WorkLogits result = engine_.Forward(std::span(&last, 1)).value().front();
  ASSERT_EQ(result.logits.size(), vocab());
  ASSERT_EQ(result.mtp_logits.size(), vocab());
  EXPECT_EQ(0, std::memcmp(result.logits.data(), whole_.logits.data() + 69 * vocab(),
                           vocab() * sizeof(float)));
  EXPECT_EQ(0, std::memcmp(result.mtp_logits.data(), whole_.mtp_logits.data() + 68 * vocab(),
                           vocab() * sizeof(float)));
}

INSTANTIATE_TEST_SUITE_P(
    Models, Laws,
    ::testing::Combine(::testing::ValuesIn(LawModels()),
                       ::testing::Values(Precision::kReference, Precision::kF32)),
    [](const auto& param) {
      std::string name = std::get<0>(param.param);
      std::replace(name.begin(), name.end(), '-', '_');
      return name + (std::get<1>(param.param) == Precision::kReference ? "_reference" : "_f32");
    });

}  // namespace
}  // namespace dsv4
