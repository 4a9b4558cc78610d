// Branches, snapshots, rewinding and Sync: whatever way a state was reached, what follows has the
// bits of a cold run of the same tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "dsv4/dsv4.h"
#include "runtime/snapshot_list.h"
#include "support/model_fixture.h"
#include "support/temp_dir.h"

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

// Sanitizers make everything ten times slower.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

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
  for (const int64_t border : {0, 128, 4, 32, 64, 256}) {
    if (kSanitized && border > 0 && border != 128) break;
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

// A few sessions of one engine with a store, and what each must hold. The store's cap makes it drop
// old chains all the time; at a restart everything in memory goes.
class Operations {
 public:
  Operations(std::string model, uint32_t seed)
      : model_(std::move(model)), cold_(Open("")), random_(seed) {
    Restart();
  }

  // One random operation, after which the session that it was about is compared with a cold run.
  void Step() {
    Subject& subject = Pick(subjects_);
    const int64_t action = std::ssize(subject.tokens) > 700 ? 1 : Below(10);
    switch (action) {
      case 0:
        return Append(subject);
      case 1:
        return Rewind(subject);
      case 2:
        return Branch(subject);
      case 3:
        return TakeSnapshot(subject);
      case 4:
        return Restore(subject);
      case 5:
        return Save(subject);
      case 6:
        return Below(3) == 0 ? Restart() : Save(subject);
      case 7:
        return Truncate(subject);
      default:
        return Sync(subject);
    }
  }

 private:
  struct Subject {
    Session session;
    Tokens tokens;
  };
  struct Saved {
    Snapshot snapshot;
    Tokens tokens;
  };

  Engine Open(const std::string& store) const {
    return Engine::Open(CheckpointOf(model_).string(),
                        {.threads = 2, .chunk = 96, .store = store, .store_bytes = 1 << 20})
        .value();
  }
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint32_t>(n)); }
  template <class T>
  T& Pick(std::vector<T>& list) {
    return list[static_cast<size_t>(Below(std::ssize(list)))];
  }
  // Few different texts, so that timelines meet again.
  Tokens SomeText() {
    return Text(static_cast<uint32_t>(Below(3)), 1 + Below(Below(4) == 0 ? 300 : 40),
                cold_.info().vocab_size);
  }

  void Append(Subject& subject) {
    const Tokens more = SomeText();
    ASSERT_TRUE(subject.session.Append(more));
    subject.tokens.insert(subject.tokens.end(), more.begin(), more.end());
    Check(subject, "append");
  }
  void Rewind(Subject& subject) {
    const int64_t cut = Below(std::ssize(subject.tokens) + 1);
    ASSERT_TRUE(subject.session.RewindTo(cut));
    subject.tokens.resize(static_cast<size_t>(cut));
    Check(subject, "rewind");
  }
  void Truncate(Subject& subject) {
    const int64_t cut = Below(std::ssize(subject.tokens) + 1);
    const int64_t left = subject.session.Truncate(cut).value();
    ASSERT_LE(left, cut);
    subject.tokens.resize(static_cast<size_t>(left));
    Check(subject, "truncate");
  }
  void Branch(const Subject& subject) {
    Subject branch{subject.session.Branch().value(), subject.tokens};
    if (subjects_.size() < 4) {
      subjects_.push_back(std::move(branch));
      return Check(subjects_.back(), "branch");
    }
    Subject& replaced = Pick(subjects_);
    replaced = std::move(branch);
    Check(replaced, "branch");
  }
  void TakeSnapshot(const Subject& subject) {
    if (snapshots_.size() > 4) snapshots_.erase(snapshots_.begin());
    snapshots_.push_back({subject.session.TakeSnapshot().value(), subject.tokens});
  }
  void Restore(Subject& subject) {
    if (snapshots_.empty()) return;
    const Saved& old = Pick(snapshots_);
    ASSERT_TRUE(subject.session.Restore(old.snapshot));
    subject.tokens = old.tokens;
    Check(subject, "restore");
  }
  void Save(Subject& subject) {
    // A session larger than the cap cannot be saved, which must do no harm.
    (void)subject.session.Save(/*interim=*/Below(2) == 0);
    Check(subject, "save");
  }
  void Sync(Subject& subject) {
    Tokens target = Pick(subjects_).tokens;
    target.resize(static_cast<size_t>(Below(std::ssize(target) + 1)));
    const Tokens more = SomeText();
    target.insert(target.end(), more.begin(), more.end());
    ASSERT_TRUE(subject.session.Sync(target));
    subject.tokens = target;
    Check(subject, "sync");
  }
  void Restart() {
    std::vector<Tokens> texts;
    for (const Subject& subject : subjects_) texts.push_back(subject.tokens);
    if (texts.empty()) texts.emplace_back();
    subjects_.clear();
    snapshots_.clear();
    engine_.reset();
    engine_.emplace(Open((directory_.path() / "store").string()));
    for (const Tokens& tokens : texts) {
      subjects_.push_back({engine_->NewSession().value(), tokens});
      ASSERT_TRUE(subjects_.back().session.Sync(tokens));
      Check(subjects_.back(), "restart");
    }
  }

  // What a branch says after one more token is what a cold run says.
  void Check(Subject& subject, const std::string& what) {
    Tokens all = subject.tokens;
    ASSERT_EQ(Tokens(subject.session.tokens().begin(), subject.session.tokens().end()), all)
        << what;
    all.push_back(5);
    auto cold = cold_runs_.find(all);
    if (cold == cold_runs_.end()) {
      Session fresh = cold_.NewSession().value();
      cold = cold_runs_.emplace(all, fresh.Append(all).value()).first;
    }
    Session branch = subject.session.Branch().value();
    ASSERT_EQ(branch.Append(std::span(all).last(1)).value(), cold->second) << what;
  }

  std::string model_;
  Engine cold_;
  std::mt19937 random_;
  dsv::testing::TempDir directory_;
  std::optional<Engine> engine_;
  std::vector<Subject> subjects_;
  std::vector<Saved> snapshots_;
  std::map<Tokens, std::vector<float>> cold_runs_;
};

// With --gtest_shuffle every repetition (--gtest_repeat) has other random numbers: `make laws` runs
// ten thousand operations.
TEST_P(Timeline, RandomOperationsEndLikeColdRuns) {
  const int seed = ::testing::UnitTest::GetInstance()->random_seed();
  Operations operations(GetParam(), static_cast<uint32_t>(seed));
  for (int i = 0; i < 40 && !HasFatalFailure(); ++i) {
    SCOPED_TRACE("operation " + std::to_string(i) + ", seed " + std::to_string(seed));
    operations.Step();
  }
}

// All models with the best instruction set; elsewhere one with all kinds of layers.
std::vector<std::string> Models() {
  if (!kSanitized && dsv::ForcedIsa().empty()) return ModelNames();
  return {"f32-tiny"};
}

INSTANTIATE_TEST_SUITE_P(Models, Timeline, ::testing::ValuesIn(Models()),
                         dsv::testing::ModelTestName);

Engine OpenSmall(EngineOptions options) {
  return Engine::Open(CheckpointOf("window-tiny").string(), options).value();
}

TEST(RewindTo, RecomputesLittle) {
  const Engine engine = OpenSmall({.threads = 2, .chunk = 128});
  Session session = engine.NewSession().value();
  constexpr int64_t kSize = kSanitized ? 2600 : 9000;
  ASSERT_TRUE(session.Append(Text(1, kSize, engine.info().vocab_size)));
  for (const int64_t back :
       {int64_t{1}, int64_t{100}, int64_t{511}, int64_t{513}, int64_t{1000}, kSize - 1, kSize}) {
    Session branch = session.Branch().value();
    EXPECT_LT(branch.RewindTo(kSize - back).value(), std::max<int64_t>(512, back)) << back;
  }
  // The end of a prompt costs nothing.
  ASSERT_TRUE(session.Append(Text(2, 77, engine.info().vocab_size)));
  ASSERT_TRUE(session.Append(Tokens{3}));
  ASSERT_TRUE(session.Append(Tokens{4}));
  EXPECT_EQ(session.RewindTo(kSize + 77).value(), 0);
}

TEST(RewindTo, RefusesWhatIsNotThere) {
  const Engine engine = OpenSmall({.threads = 1});
  Session session = engine.NewSession().value();
  ASSERT_TRUE(session.Append(Tokens{1, 2, 3}));
  for (const int64_t size : {-1, 4}) {
    const auto result = session.RewindTo(size);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message,
              "size: expected 0 to 3 tokens, found " + std::to_string(size));
    EXPECT_FALSE(session.Truncate(size));
  }
  EXPECT_EQ(session.size(), 3);
}

TEST(Truncate, ComputesNothing) {
  const Engine engine = OpenSmall({.threads = 1, .chunk = 128});
  Session session = engine.NewSession().value();
  const Tokens text = Text(1, 1300, engine.info().vocab_size);
  ASSERT_TRUE(session.Append(text));
  EXPECT_EQ(session.Truncate(1300).value(), 1300);
  EXPECT_EQ(session.Truncate(1299).value(), 1024);
  EXPECT_EQ(session.Truncate(1024).value(), 1024);
  EXPECT_EQ(session.Truncate(600).value(), 512);
  EXPECT_TRUE(std::equal(session.tokens().begin(), session.tokens().end(), text.begin()));
  EXPECT_EQ(session.Truncate(511).value(), 0);
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

TEST(SnapshotList, PassesOverDamagedStates) {
  auto block = std::make_unique<dsv::RowBlock>();
  block->verify = [](size_t) { return false; };
  const dsv::RowBlock& stored = *block;
  auto state = std::make_shared<dsv::SessionState>();
  state->blocks = std::make_unique<dsv::RowBlocks>(0);
  state->blocks->Share(std::move(block));
  dsv::SnapshotList list(512);
  list.AddPromptEnd(state);
  EXPECT_EQ(list.Latest(128), state);
  EXPECT_FALSE(stored.Holds(0));
  EXPECT_EQ(list.Latest(128), nullptr);
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
