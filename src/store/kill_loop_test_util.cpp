#include "store/kill_loop_test_util.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "store/store_test_util.h"

namespace dsv::testing {
namespace {

namespace fs = std::filesystem;

// Rounds after which an empty store begins, so that checking it all stays quick.
constexpr int64_t kRoundsPerStore = 10;
// Every second store has a cap, so that kills hit evictions too.
constexpr uint64_t kCap = 1'000'000;

StoreOptions OptionsOf(bool is_capped) {
  return {.max_bytes = is_capped ? kCap : 0, .segment_bytes = 300'000};
}

// What the child reports once it is on disk.
struct Acknowledged {
  enum Kind : uint64_t { kChain, kTail, kName } kind = kChain;
  Chain chain;
};

Payload PayloadOf(uint64_t seed) {
  const size_t sizes[] = {seed % 7000, 0, seed % 11 == 0 ? size_t{90'000} : size_t{3000}};
  return MakePayload(seed, sizes);
}

std::vector<int32_t> RestOf(uint64_t seed) { return MakeTokens(seed, 1 + seed % 127); }

// Shows in itself whether it is whole.
std::vector<int32_t> NameTokens(uint64_t seed) {
  const auto value = static_cast<int32_t>(seed % 4000);
  return std::vector<int32_t>(static_cast<size_t>(value) + 1, value);
}

bool AreNameTokens(const std::vector<int32_t>& tokens) {
  return !tokens.empty() && tokens == NameTokens(static_cast<uint64_t>(tokens[0]));
}

// Goes as far as a cap lets it.
bool PutWhole(PrefixStore& store, const Chain& chain) {
  ChainKey key = chain.parent;
  for (size_t i = 0; i < chain.length; ++i) {
    const auto tokens = MakeTokens(chain.seed + i);
    const auto outcome = store.Put(key, tokens, Views(PayloadOf(chain.seed + i)));
    if (!outcome) return false;
    if (*outcome != PutOutcome::kWritten) return true;
    key = NextKey(key, tokens);
  }
  return true;
}

// One step of the child's work; false if it failed.
bool Step(PrefixStore& store, const Chain& chain, Acknowledged::Kind kind) {
  const uint64_t seed = chain.seed;
  switch (kind) {
    case Acknowledged::kChain:
      return PutWhole(store, chain) && store.Flush();
    case Acknowledged::kTail:
      return store.PutTail(chain.parent, RestOf(seed), Views(PayloadOf(seed))).has_value();
    case Acknowledged::kName:
      return store.PutName({"name", "model", chain.parent, 0, NameTokens(seed)}).has_value();
  }
  return false;
}

// Works until it is killed.
[[noreturn]] void RunChild(const fs::path& directory, const StoreOptions& options, uint64_t seed,
                           int pipe) {
  const auto store = PrefixStore::Open(directory, options);
  if (!store) _exit(1);
  const auto root = (*store)->AddRoot("model");
  if (!root) _exit(1);
  std::mt19937_64 random(seed);
  std::vector<ChainKey> ends{*root};
  for (uint64_t step = 0;; ++step) {
    Acknowledged done{static_cast<Acknowledged::Kind>(random() % 5 < 3 ? 0 : 1 + random() % 2),
                      {ends[random() % ends.size()], seed + step * 100, 1 + random() % 8}};
    if (!Step(**store, done.chain, done.kind)) _exit(1);
    if (done.kind == Acknowledged::kChain) ends.push_back(done.chain.Keys().back());
    if (write(pipe, &done, sizeof done) != sizeof done) _exit(1);
  }
}

// The child is killed after some time; what it reported until then.
std::vector<Acknowledged> KillOne(const fs::path& directory, const StoreOptions& options,
                                  uint64_t seed, std::chrono::microseconds after,
                                  bool& was_killed) {
  int ends[2];
  std::vector<Acknowledged> reports;
  if (pipe(ends) != 0) return reports;
  const pid_t child = fork();
  if (child == 0) RunChild(directory, options, seed, ends[1]);
  close(ends[1]);
  std::thread killer([&] {
    std::this_thread::sleep_for(after);
    kill(child, SIGKILL);
  });
  Acknowledged report;
  while (read(ends[0], &report, sizeof report) == sizeof report) reports.push_back(report);
  close(ends[0]);
  killer.join();
  int status = 0;
  waitpid(child, &status, 0);
  was_killed = WIFSIGNALED(status);
  return reports;
}

class Checker {
 public:
  // With a cap things may be missing, but not in the middle.
  Checker(PrefixStore& store, bool is_capped, KillReport& report)
      : store_(store), is_capped_(is_capped), report_(report) {}

  void Check(const Acknowledged& done) {
    if (done.kind == Acknowledged::kChain) CheckChain(done.chain);
    if (done.kind == Acknowledged::kTail) CheckTail(done.chain);
    has_name_ = has_name_ || done.kind == Acknowledged::kName;
  }

  // The last one acknowledged or the one after it, never a mixture.
  void CheckName() {
    const auto name = store_.GetName("name");
    if (!name) return Fail(name.error().message);
    if (!*name && has_name_) return Fail("an acknowledged name is missing");
    if (*name && !AreNameTokens((*name)->tokens)) Fail("a name is a mixture");
  }

  void CheckTheRest() {
    const auto verified = store_.Verify();
    if (!verified) return Fail(verified.error().message);
    if (!verified->problems.empty()) return Fail(verified->problems.front());
    const auto notes = store_.TakeNotes();
    if (!notes.empty()) return Fail(notes.front());
    const auto stat = store_.Stat();
    if (!stat) return Fail(stat.error().message);
    if (is_capped_ && stat->block_bytes + stat->tail_bytes > static_cast<int64_t>(kCap)) {
      Fail("the cap is exceeded");
    }
  }

 private:
  void CheckChain(const Chain& chain) {
    const auto keys = chain.Keys();
    bool is_gone = false;
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto block = store_.Get(keys[i]);
      if (!block) return Fail(block.error().message);
      if (!*block && !is_capped_) return Fail("an acknowledged block is missing");
      if (*block && is_gone) return Fail("a block lacks its parent");
      is_gone = !*block;
      if (is_gone) continue;
      if (!Holds(**block, PayloadOf(chain.seed + i))) return Fail("a block is wrong");
      ++report_.blocks;
    }
  }

  void CheckTail(const Chain& chain) {
    const auto rest = RestOf(chain.seed);
    const auto tail = store_.FindTail(chain.parent, rest);
    if (!tail) return Fail(tail.error().message);
    if (!*tail || (*tail)->rest != rest) {
      if (!is_capped_) Fail("an acknowledged tail is missing");
      return;
    }
    if (!Holds((*tail)->block, PayloadOf(chain.seed))) return Fail("a tail is wrong");
    ++report_.tails;
  }

  void Fail(const std::string& what) {
    if (report_.failure.empty()) report_.failure = what;
  }

  PrefixStore& store_;
  bool is_capped_;
  KillReport& report_;
  bool has_name_ = false;
};

void CheckStore(const fs::path& directory, const StoreOptions& options,
                const std::vector<Acknowledged>& reports, KillReport& report) {
  const auto store = PrefixStore::Open(directory, options);
  if (!store) {
    report.failure = store.error().message;
    return;
  }
  Checker checker(**store, options.max_bytes > 0, report);
  for (const Acknowledged& done : reports) checker.Check(done);
  checker.CheckName();
  checker.CheckTheRest();
}

}  // namespace

KillReport RunKillLoop(const fs::path& directory, int64_t kills, uint64_t seed) {
  KillReport report;
  std::mt19937_64 random(seed);
  std::vector<Acknowledged> all;
  for (; report.kills < kills && report.failure.empty(); ++report.kills) {
    const StoreOptions options = OptionsOf(report.kills / kRoundsPerStore % 2 == 1);
    const fs::path store = directory / std::to_string(report.kills / kRoundsPerStore);
    if (report.kills % kRoundsPerStore == 0) {
      all.clear();
      std::error_code ignored;
      fs::remove_all(directory / std::to_string(report.kills / kRoundsPerStore - 1), ignored);
    }
    bool was_killed = false;
    // From before the store is open to some flushes later.
    const std::chrono::microseconds after(random() % 60'000);
    const auto reports = KillOne(store, options, random() >> 1, after, was_killed);
    if (!was_killed) report.failure = "the writing process failed";
    all.insert(all.end(), reports.begin(), reports.end());
    if (report.failure.empty()) CheckStore(store, options, all, report);
  }
  return report;
}

}  // namespace dsv::testing
