// Branches, snapshots, rewinding and Sync: whatever way a state was reached, what follows has the
// bits of a cold run of the same tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "dsv4/dsv4.h"
#include "runtime/snapshot_list.h"
#include "support/model_fixture.h"

namespace dsv4 {
namespace {

using dsv::testing::CheckpointOf;
using dsv::testing::ModelNames;

using Tokens = std::vector<TokenId>;

struct Logits {
  std::vector<float> main;
  std::vector<float> mtp;
  bool operator==(const Logits&) const = default;
};

Logits Feed(const Engine& engine, Session& session, std::span<const TokenId> tokens) {
  const Work work{&session, tokens, LogitRows::kLast, LogitRows::kLast};
  WorkLogits result = engine.Forward(std::span(&work, 1)).value().front();
  return {std::move(result.logits), std::move(result.mtp_logits)};
}

Session NewSession(const Engine& engine) { return engine.NewSession(/*mtp=*/true).value(); }

// Tokens that follow from a seed, any number of them.
Tokens Text(uint32_t seed, int64_t size, int64_t vocab) {
  std::mt19937 random(seed);
  Tokens tokens(static_cast<size_t>(size));
  for (TokenId& token : tokens)
    token = static_cast<TokenId>(random() % static_cast<uint32_t>(vocab));
  return tokens;
}

class Timeline : public ::testing::TestWithParam<std::string> {
 protected:
  Engine Open(EngineOptions options = {.threads = 2}) {
    return Engine::Open(CheckpointOf(GetParam()).string(), options).value();
  }
};

// Around every border that the state knows: groups of 4 and 128, the window, and the first
// selections of the indexers of these models.
std::vector<int64_t> Cuts(int64_t size) {
  std::vector<int64_t> cuts;
  for (const int64_t border : {0, 4, 32, 64, 128, 256}) {
    for (int64_t cut = border - 1; cut <= border + 2; ++cut) {
      if (cut >= 0 && cut < size) cuts.push_back(cut);
    }
  }
  return cuts;
}

TEST_P(Timeline, EveryCutGoesOnLikeAColdRun) {
  const Engine engine = Open();
  const int64_t size = 270;
  const Tokens first = Text(1, size, engine.info().vocab_size);
  const Tokens other = Text(2, 140, engine.info().vocab_size);
  Session session = NewSession(engine);
  ASSERT_TRUE(session.Append(first));
  for (const int64_t cut : Cuts(size)) {
    Tokens joined(first.begin(), first.begin() + cut);
    joined.insert(joined.end(), other.begin(), other.end());
    Session cold = NewSession(engine);
    const Logits expected = Feed(engine, cold, joined);

    Session branch = session.Branch().value();
    ASSERT_LE(branch.RewindTo(cut).value(), cut);
    EXPECT_EQ(branch.size(), cut);
    const Snapshot at_cut = branch.TakeSnapshot().value();
    EXPECT_EQ(Feed(engine, branch, other), expected) << "rewound to " << cut;

    Session restored = NewSession(engine);
    ASSERT_TRUE(restored.Restore(at_cut));
    EXPECT_EQ(Feed(engine, restored, other), expected) << "restored at " << cut;
    EXPECT_EQ(Tokens(restored.tokens().begin(), restored.tokens().end()), joined);

    Session synced = session.Branch().value();
    const SyncReport report = synced.Sync(std::span(joined).first(joined.size() - 1)).value();
    EXPECT_EQ(report.kept + report.computed, static_cast<int64_t>(joined.size()) - 1);
    const Logits last = Feed(engine, synced, std::span(joined).last(1));
    EXPECT_EQ(last, expected) << "synced from " << cut;
  }
  // None of that has touched the session.
  Session cold = NewSession(engine);
  ASSERT_TRUE(cold.Append(first));
  EXPECT_EQ(Feed(engine, session, other), Feed(engine, cold, other));
}

// Random sequences of operations on a few sessions that share an engine. With --gtest_shuffle every
// repetition (--gtest_repeat) has other random numbers: `make laws` runs ten thousand operations.
TEST_P(Timeline, RandomOperationsEndLikeColdRuns) {
  constexpr int kOperations = 40;
  const Engine engine = Open({.threads = 2, .chunk = 96});
  const int64_t vocab = engine.info().vocab_size;
  std::mt19937 random(static_cast<uint32_t>(::testing::UnitTest::GetInstance()->random_seed()));
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint32_t>(n));
  };
  const auto text = [&] {
    // Few different texts, so that timelines meet again.
    return Text(static_cast<uint32_t>(below(3)), 1 + below(below(4) == 0 ? 300 : 40), vocab);
  };
  struct Subject {
    Session session;
    Tokens tokens;
  };
  struct Saved {
    Snapshot snapshot;
    Tokens tokens;
  };
  std::vector<Subject> subjects;
  subjects.push_back({NewSession(engine), {}});
  std::vector<Saved> saved;
  std::map<Tokens, Logits> cold_runs;
  const auto check = [&](Subject& subject, const std::string& what) {
    ASSERT_EQ(Tokens(subject.session.tokens().begin(), subject.session.tokens().end()),
              subject.tokens)
        << what;
    // What a branch says of one more token is what a cold run says of it.
    Tokens all = subject.tokens;
    all.push_back(5);
    auto cold = cold_runs.find(all);
    if (cold == cold_runs.end()) {
      Session fresh = NewSession(engine);
      cold = cold_runs.emplace(all, Feed(engine, fresh, all)).first;
    }
    Session branch = subject.session.Branch().value();
    Logits got = Feed(engine, branch, std::span(all).last(1));
    if (all.size() == 1) got.mtp = cold->second.mtp;
    ASSERT_EQ(got, cold->second) << what;
  };
  for (int i = 0; i < kOperations; ++i) {
    Subject& subject = subjects[static_cast<size_t>(below(std::ssize(subjects)))];
    const auto size = static_cast<int64_t>(subject.tokens.size());
    const int64_t action = size > 700 ? 1 : below(6);
    std::string what = "operation " + std::to_string(i) + ": ";
    if (action == 0) {
      const Tokens more = text();
      what += "append " + std::to_string(more.size());
      Feed(engine, subject.session, more);
      subject.tokens.insert(subject.tokens.end(), more.begin(), more.end());
    } else if (action == 1) {
      const int64_t cut = below(size + 1);
      what += "rewind to " + std::to_string(cut);
      ASSERT_TRUE(subject.session.RewindTo(cut)) << what;
      subject.tokens.resize(static_cast<size_t>(cut));
    } else if (action == 2) {
      what += "branch";
      Subject branch{subject.session.Branch().value(), subject.tokens};
      if (subjects.size() < 4) {
        subjects.push_back(std::move(branch));
      } else {
        subjects[static_cast<size_t>(below(std::ssize(subjects)))] = std::move(branch);
      }
      check(subjects.back(), what);
      continue;
    } else if (action == 3) {
      what += "snapshot";
      if (saved.size() > 4) saved.erase(saved.begin());
      saved.push_back({subject.session.TakeSnapshot().value(), subject.tokens});
    } else if (action == 4 && !saved.empty()) {
      const Saved& old = saved[static_cast<size_t>(below(std::ssize(saved)))];
      what += "restore " + std::to_string(old.tokens.size());
      ASSERT_TRUE(subject.session.Restore(old.snapshot)) << what;
      subject.tokens = old.tokens;
    } else {
      Tokens target = subjects[static_cast<size_t>(below(std::ssize(subjects)))].tokens;
      target.resize(static_cast<size_t>(below(std::ssize(target) + 1)));
      const Tokens more = text();
      target.insert(target.end(), more.begin(), more.end());
      what += "sync " + std::to_string(target.size());
      ASSERT_TRUE(subject.session.Sync(target)) << what;
      subject.tokens = target;
    }
    check(subject, what);
    if (HasFatalFailure()) return;
  }
}

#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// All models with the best instruction set; elsewhere those with all kinds of layers.
std::vector<std::string> Models() {
  if (!kSanitized && dsv::ForcedIsa().empty()) return ModelNames();
  return {"window-tiny", "f32-tiny"};
}

INSTANTIATE_TEST_SUITE_P(Models, Timeline, ::testing::ValuesIn(Models()),
                         dsv::testing::ModelTestName);

Engine OpenSmall(EngineOptions options) {
  return Engine::Open(CheckpointOf("window-tiny").string(), options).value();
}

TEST(RewindTo, RecomputesLittle) {
  const Engine engine = OpenSmall({.threads = 2, .chunk = 128});
  Session session = engine.NewSession().value();
  ASSERT_TRUE(session.Append(Text(1, 9000, engine.info().vocab_size)));
  for (const int64_t back : {1, 100, 511, 513, 1000, 3000, 8999, 9000}) {
    Session branch = session.Branch().value();
    EXPECT_LT(branch.RewindTo(9000 - back).value(), std::max<int64_t>(512, back)) << back;
  }
  // The end of a prompt costs nothing.
  ASSERT_TRUE(session.Append(Text(2, 77, engine.info().vocab_size)));
  ASSERT_TRUE(session.Append(Tokens{3}));
  ASSERT_TRUE(session.Append(Tokens{4}));
  EXPECT_EQ(session.RewindTo(9077).value(), 0);
}

TEST(RewindTo, RefusesWhatIsNotThere) {
  const Engine engine = OpenSmall({.threads = 1});
  Session session = engine.NewSession().value();
  ASSERT_TRUE(session.Append(Tokens{1, 2, 3}));
  for (const int64_t size : {-1, 4}) {
    const auto result = session.RewindTo(size);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message,
              "rewind: expected 0 to 3 tokens, found " + std::to_string(size));
  }
  EXPECT_EQ(session.size(), 3);
}

TEST(RewindTo, CancelledLeavesAShorterSession) {
  const Engine engine = OpenSmall({.threads = 1, .chunk = 16});
  const Tokens text = Text(1, 400, engine.info().vocab_size);
  Session session = engine.NewSession().value();
  ASSERT_TRUE(session.Append(text));
  ASSERT_FALSE(session.RewindTo(300, [](int64_t done, int64_t) { return done < 64; }));
  EXPECT_LT(session.size(), 300);
  EXPECT_TRUE(std::equal(session.tokens().begin(), session.tokens().end(), text.begin()));
}

TEST(Restore, RefusesAnotherEngineAndAnotherKind) {
  const Engine engine = OpenSmall({.threads = 1});
  const Engine other = OpenSmall({.threads = 1});
  Session session = engine.NewSession().value();
  Session foreign = other.NewSession().value();
  Session with_mtp = engine.NewSession(true).value();
  const Snapshot snapshot = session.TakeSnapshot().value();
  EXPECT_FALSE(foreign.Restore(snapshot));
  EXPECT_FALSE(with_mtp.Restore(snapshot));
  EXPECT_TRUE(session.Restore(snapshot));
}

TEST(Sync, TakesOverFromSnapshotsOfOtherSessions) {
  const Engine engine = OpenSmall({.threads = 2});
  const Tokens text = Text(1, 700, engine.info().vocab_size);
  Tokens longer = text;
  longer.insert(longer.end(), 9, 1);
  Session reader = engine.NewSession().value();
  ASSERT_TRUE(reader.Append(text));
  {
    Session session = engine.NewSession().value();
    const SyncReport report = session.Sync(longer).value();
    EXPECT_EQ(report.kept, 700);
    EXPECT_EQ(report.computed, 9);
    EXPECT_EQ(session.Sync(longer).value().computed, 0);
  }
  // States do not outlive their last holder.
  reader = engine.NewSession().value();
  Session late = engine.NewSession().value();
  EXPECT_EQ(late.Sync(longer).value().kept, 0);
}

TEST(Memory, CountsSharedRowsOnceAndGivesAllBack) {
  const Engine engine = OpenSmall({.threads = 1, .context = 4096});
  EXPECT_EQ(engine.memory().held, 0);
  {
    Session session = engine.NewSession().value();
    ASSERT_TRUE(session.Append(Text(1, 2048, engine.info().vocab_size)));
    const int64_t one = engine.memory().held;
    Session branch = session.Branch().value();
    // A branch at a whole block has no rows of its own.
    EXPECT_EQ(engine.memory().held - one, engine.memory().tail);
    const Snapshot snapshot = branch.TakeSnapshot().value();
    EXPECT_LE(engine.memory().held - one, 2 * engine.memory().tail);
  }
  EXPECT_EQ(engine.memory().held, 0);
}

TEST(Memory, RefusesBeforeAnyWorkWithTheNumbers) {
  const std::string model = CheckpointOf("window-tiny").string();
  const Engine roomy = OpenSmall({.threads = 1, .context = 4096});
  const MemoryInfo info = roomy.memory();
  const int64_t fixed = info.scratch + info.tail;
  // Exactly enough for 4096 tokens, then one byte less.
  EXPECT_TRUE(Engine::Open(model, {.threads = 1, .context = 4096, .memory = fixed + info.rows}));
  const auto refused =
      Engine::Open(model, {.threads = 1, .context = 4096, .memory = fixed + info.rows - 1});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("a session of 4096 tokens needs"), std::string::npos)
      << refused.error().message;
  // Without a context, as many tokens as fit.
  const Engine half = OpenSmall({.threads = 1, .memory = fixed + info.rows / 2});
  EXPECT_EQ(half.memory().context, 2048);
  // A session that reaches the limit says so; others go on.
  Session session = half.NewSession().value();
  const Tokens text = Text(1, 2049, half.info().vocab_size);
  const auto too_long = session.Append(text);
  ASSERT_FALSE(too_long);
  EXPECT_NE(too_long.error().message.find("expected at most 2048 tokens"), std::string::npos);
  EXPECT_EQ(session.size(), 0);
  ASSERT_TRUE(session.Append(std::span(text).first(1500)));
  const auto second = half.NewSession();
  if (second) {
    Session other = half.NewSession().value();
    const auto no_room = other.Append(std::span(text).first(1500));
    ASSERT_FALSE(no_room);
    EXPECT_NE(no_room.error().message.find("rows of 1500 more tokens"), std::string::npos);
  } else {
    EXPECT_NE(second.error().message.find("the tail of a session needs"), std::string::npos);
  }
  EXPECT_TRUE(session.Append(std::span(text).first(3)));
}

dsv::SharedState StateOf(int64_t tokens) {
  auto state = std::make_shared<dsv::SessionState>();
  state->blocks = std::make_unique<dsv::RowBlocks>(0);
  state->blocks->Advance(Tokens(static_cast<size_t>(tokens)));
  return state;
}

TEST(SnapshotList, KeepsFewAndIsNearEverywhere) {
  constexpr int64_t kSpacing = 512;
  constexpr int64_t kTokens = 1 << 18;
  dsv::SnapshotList list(kSpacing);
  int64_t most = 0;
  for (int64_t size = kSpacing; size <= kTokens; size += kSpacing) {
    ASSERT_TRUE(list.IsDue(size));
    list.Add(StateOf(size));
    ASSERT_FALSE(list.IsDue(size));
    most = std::max(most, list.count());
    if (size % (kSpacing * 64) != 0) continue;
    for (int64_t back = 1; back <= size; back = back * 3 / 2 + 1) {
      const dsv::SharedState state = list.Latest(size - back);
      const int64_t replay = size - back - (state == nullptr ? 0 : state->tokens());
      ASSERT_LT(replay, std::max(kSpacing, back)) << size << " - " << back;
    }
  }
  EXPECT_LE(most, 22);
}

}  // namespace
}  // namespace dsv4
