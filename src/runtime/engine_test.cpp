// What the engine refuses, and what its sessions are left with; and Generate.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

const std::string kOneLayer = DSV_TEST_DATA "/models/one-csa-tiny";
const std::string kNeedle = DSV_SOURCE_DIR "/models/needle-text";

using Tokens = std::vector<TokenId>;

Engine Open(const std::string& directory, EngineOptions options = {.threads = 1}) {
  return Engine::Open(directory, options).value();
}

template <class T>
void ExpectError(const Result<T>& result, const std::string& part) {
  ASSERT_FALSE(result) << "expected an error with: " << part;
  EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
  EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
}

Result<std::vector<WorkLogits>> Feed(const Engine& engine, const std::vector<Work>& works) {
  return engine.Forward(works);
}

TEST(EngineOpen, RefusesBadOptionsAndDirectories) {
  ExpectError(Engine::Open(kOneLayer, {.threads = -1}), "threads");
  ExpectError(Engine::Open(kOneLayer, {.threads = 5000}), "threads");
  ExpectError(Engine::Open(kOneLayer, {.chunk = 0}), "chunk");
  ExpectError(Engine::Open(kOneLayer, {.chunk = -7}), "chunk");
  ExpectError(Engine::Open(DSV_TEST_DATA "/nowhere"), "nowhere");
}

TEST(EngineOpen, ReportsTheModel) {
  const Engine engine = Open(kOneLayer, {.threads = 3});
  EXPECT_EQ(engine.threads(), 3);
  EXPECT_EQ(engine.info().vocab_size, 64);
  EXPECT_EQ(engine.info().hidden_size, 128);
  EXPECT_EQ(engine.info().num_hidden_layers, 1);
  EXPECT_TRUE(engine.info().has_mtp);
  EXPECT_EQ(engine.tokenizer(), nullptr);
  const Engine needle = Open(kNeedle);
  ASSERT_NE(needle.tokenizer(), nullptr);
  EXPECT_EQ(needle.default_sampling().temperature, 0);  // generation_config: do_sample false
}

TEST(Forward, RefusesBadWorks) {
  const Engine engine = Open(kOneLayer);
  const Engine other = Open(kOneLayer);
  Session session = engine.NewSession().value();
  Session foreign = other.NewSession().value();
  const Tokens good{1, 2, 3};
  ExpectError(Feed(engine, {{&session, Tokens{}}}), "at least one token");
  ExpectError(Feed(engine, {{&session, Tokens{1, 64}}}), "found 64");
  ExpectError(Feed(engine, {{&session, Tokens{-1}}}), "found -1");
  ExpectError(Feed(engine, {{nullptr, good}}), "session of this engine");
  ExpectError(Feed(engine, {{&foreign, good}}), "session of this engine");
  ExpectError(Feed(engine, {{&session, good}, {&session, good}}), "share a session");
  ExpectError(Feed(engine, {{&session, good, LogitRows::kNone, LogitRows::kAll}}), "MTP");
  const Tokens too_long(static_cast<size_t>(engine.info().max_position_embeddings) + 1, 5);
  ExpectError(Feed(engine, {{&session, too_long}}), "max_position_embeddings");
  EXPECT_EQ(session.size(), 0);
  EXPECT_TRUE(Feed(engine, {}).value().empty());
  EXPECT_TRUE(Feed(engine, {{&session, good}}));
  EXPECT_EQ(session.size(), 3);
}

TEST(Forward, CountsTheWholeSessionAgainstTheContext) {
  const Engine engine = Open(kOneLayer);
  Session session = engine.NewSession().value();
  ASSERT_TRUE(session.Append(Tokens{1, 2, 3}));
  const Tokens rest(static_cast<size_t>(engine.info().max_position_embeddings) - 2, 5);
  ExpectError(session.Append(rest), "max_position_embeddings");
  EXPECT_EQ(session.size(), 3);
}

TEST(Forward, ABadWorkChangesNoSession) {
  const Engine engine = Open(kOneLayer);
  Session a = engine.NewSession().value();
  Session b = engine.NewSession().value();
  const int64_t bytes = a.state_bytes();
  ExpectError(Feed(engine, {{&a, Tokens{1, 2, 3}}, {&b, Tokens{99}}}), "found 99");
  EXPECT_EQ(a.size(), 0);
  EXPECT_EQ(a.state_bytes(), bytes);
  EXPECT_EQ(a.Append(Tokens{1, 2, 3}).value(), b.Append(Tokens{1, 2, 3}).value());
}

TEST(Forward, StopsWhereProgressSaysAndGoesOn) {
  const Engine engine = Open(kOneLayer, {.threads = 1, .chunk = 4});
  Session whole = engine.NewSession().value();
  Session stopped = engine.NewSession().value();
  Tokens tokens;
  for (TokenId t = 0; t < 20; ++t) tokens.push_back(t * 3);
  const auto expected = whole.Append(tokens).value();
  std::vector<int64_t> seen;
  const auto result = stopped.Append(tokens, [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 20);
    seen.push_back(done);
    return done < 8;
  });
  ExpectError(result, "cancelled after 8 of 20");
  EXPECT_EQ(seen, (std::vector<int64_t>{4, 8}));
  ASSERT_EQ(stopped.size(), 8);
  EXPECT_EQ(stopped.Append(std::span(tokens).subspan(8)).value(), expected);
  EXPECT_EQ(Tokens(stopped.tokens().begin(), stopped.tokens().end()), tokens);
}

TEST(Session, MovesWithItsEngineAndIsIndependent) {
  Engine first = Open(kOneLayer);
  Session session = first.NewSession().value();
  ASSERT_TRUE(session.Append(Tokens{7, 8}));
  const Engine moved = std::move(first);
  Session also = std::move(session);
  Session fresh = moved.NewSession().value();
  ASSERT_TRUE(fresh.Append(Tokens{7, 8}));
  EXPECT_EQ(also.Append(Tokens{9}).value(), fresh.Append(Tokens{9}).value());
  EXPECT_GT(also.state_bytes(), 0);
}

TEST(Session, RewoundToNothingIsANewSession) {
  const Engine engine = Open(kOneLayer);
  Session session = engine.NewSession(/*mtp=*/true).value();
  ASSERT_TRUE(session.Append(Tokens{5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(session.RewindTo(0).value(), 0);
  EXPECT_EQ(session.size(), 0);
  Session fresh = engine.NewSession(true).value();
  EXPECT_EQ(session.state_bytes(), fresh.state_bytes());
  const Tokens tokens{1, 2};
  for (int i = 0; i < 3; ++i) {
    const Work a{&session, tokens, LogitRows::kAll, LogitRows::kAll};
    const Work b{&fresh, tokens, LogitRows::kAll, LogitRows::kAll};
    const auto got = engine.Forward(std::span(&a, 1)).value().front();
    const auto expected = engine.Forward(std::span(&b, 1)).value().front();
    EXPECT_EQ(got.logits, expected.logits);
    EXPECT_EQ(got.mtp_logits, expected.mtp_logits);
  }
}

class GenerateTest : public ::testing::Test {
 protected:
  Tokens Encode(const std::string& text) const { return engine_.tokenizer()->Encode(text).value(); }
  Generation Reply(const GenerateOptions& options) const {
    Session session = engine_.NewSession().value();
    return Generate(session, prompt_, options).value();
  }

  // The model would end such a reply at once; without EOS it goes on.
  GenerateOptions LongReply(double temperature) const {
    GenerateOptions options;
    options.sampling.temperature = temperature;
    options.sampling.logit_bias[engine_.info().eos_token_id] = -1e5;
    return options;
  }

  Engine engine_ = Open(kNeedle);
  Tokens prompt_ = Encode("It was a truth universally");
};

TEST_F(GenerateTest, GreedyIsTheArgmaxOfAppend) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = 12;
  const Generation reply = Reply(options);
  Session session = engine_.NewSession().value();
  auto logits = session.Append(prompt_).value();
  Tokens expected;
  while (expected.size() < reply.tokens.size()) {
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    expected.push_back(static_cast<TokenId>(best));
    logits = session.Append(std::span(&expected.back(), 1)).value();
  }
  EXPECT_EQ(reply.tokens, expected);
  EXPECT_EQ(reply.text, engine_.tokenizer()->Decode(expected, true).value());
  EXPECT_EQ(reply.prompt_tokens, static_cast<int64_t>(prompt_.size()));
}

TEST_F(GenerateTest, SeedGivesTheSameTokens) {
  GenerateOptions options = LongReply(1);
  options.max_tokens = 20;
  options.sampling.seed = 3;
  const Tokens first = Reply(options).tokens;
  EXPECT_EQ(Reply(options).tokens, first);
  options.sampling.seed = 4;
  EXPECT_NE(Reply(options).tokens, first);
}

TEST_F(GenerateTest, StopsForEveryReason) {
  GenerateOptions options = LongReply(0);
  options.max_tokens = 10;
  const Generation plain = Reply(options);
  ASSERT_EQ(plain.tokens.size(), 10u);
  EXPECT_EQ(plain.finish, FinishReason::kLength);

  options.stop_tokens = {plain.tokens[4]};
  const Generation token = Reply(options);
  EXPECT_EQ(token.finish, FinishReason::kStopToken);
  EXPECT_LE(token.tokens.size(), 5u);
  EXPECT_EQ(token.tokens.back(), plain.tokens[4]);
  EXPECT_TRUE(plain.text.starts_with(token.text));
  options.stop_tokens.clear();

  options.stop_strings = {plain.text.substr(plain.text.size() / 2, 3)};
  const Generation string = Reply(options);
  EXPECT_EQ(string.finish, FinishReason::kStopString);
  EXPECT_EQ(string.text, plain.text.substr(0, plain.text.find(options.stop_strings[0])));
  options.stop_strings.clear();

  Session session = engine_.NewSession().value();
  std::string seen;
  const Generation cancelled = Generate(session, prompt_, options, [&](std::string_view text) {
                                 seen += text;
                                 return seen.size() < 4;
                               }).value();
  EXPECT_EQ(cancelled.finish, FinishReason::kCancelled);
  EXPECT_EQ(cancelled.text, seen);
  EXPECT_LT(cancelled.tokens.size(), 10u);

  options.max_tokens = 0;
  EXPECT_TRUE(Reply(options).tokens.empty());
}

TEST_F(GenerateTest, GoesOnInTheSameSession) {
  GenerateOptions options = LongReply(0);
  options.max_tokens = 12;
  const Tokens whole = Reply(options).tokens;
  Session session = engine_.NewSession().value();
  options.max_tokens = 5;
  Tokens tokens = Generate(session, prompt_, options).value().tokens;
  // The last sampled token has not been fed yet.
  EXPECT_EQ(session.size(), static_cast<int64_t>(prompt_.size()) + 4);
  options.max_tokens = 7;
  const Tokens last{tokens.back()};
  const Tokens more = Generate(session, last, options).value().tokens;
  tokens.insert(tokens.end(), more.begin(), more.end());
  EXPECT_EQ(tokens, whole);
}

TEST_F(GenerateTest, RefusesBadRequests) {
  Session session = engine_.NewSession().value();
  ExpectError(Generate(session, Tokens{}, {}), "at least one token");
  ExpectError(Generate(session, Tokens{1 << 20}, {}), "expected an id below");
  GenerateOptions options;
  options.sampling.top_p = 2;
  ExpectError(Generate(session, prompt_, options), "top_p");
  EXPECT_EQ(session.size(), 0);
  const Engine silent = Open(kOneLayer);
  Session mute = silent.NewSession().value();
  ExpectError(Generate(mute, Tokens{1}, {}), "tokenizer.json");
}

}  // namespace
}  // namespace dsv4
