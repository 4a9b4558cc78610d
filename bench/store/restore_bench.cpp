// Saving and restoring the state of a session of DeepSeek-V4 Flash's exact shape with random rows.
//
//   restore_bench DIR [TOKENS...]      default: 24576 131072 1048576
//
// For each length: bytes written for the bytes of new rows and tail, the same for one more block,
// and the time until the state is ready again, once with the files dropped from the page cache and
// once with them in it. Ready means that a pass can start; it then reads what attention reads.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "cache/tail_codec.h"
#include "checkpoint/published_models.h"
#include "runtime/state_store.h"

namespace dsv {
namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int32_t TokenAt(int64_t index) { return static_cast<int32_t>(index * 7919 % 129280); }

std::vector<int32_t> Tokens(int64_t begin, int64_t end) {
  std::vector<int32_t> tokens;
  for (int64_t i = begin; i < end; ++i) tokens.push_back(TokenAt(i));
  return tokens;
}

// Adds whole blocks of random rows, with all compressor state that such a length has.
void Grow(SessionState& state, int64_t tokens, std::mt19937_64& random) {
  while (state.tokens() < tokens) {
    std::byte* rows = state.blocks->Write(state.tokens() / kBlockTokens);
    for (int64_t i = 0; i < state.blocks->block_bytes(); i += 8) {
      const uint64_t value = random();
      std::memcpy(rows + i, &value, 8);
    }
    state.blocks->Advance(Tokens(state.tokens(), state.tokens() + kBlockTokens));
  }
  for (LayerState& layer : state.layers) {
    if (layer.rows) layer.rows->Resume(state.tokens());
    if (layer.keys) layer.keys->Resume(state.tokens());
    if (!layer.keys) continue;
    layer.open = {state.tokens() - 4, std::vector<float>(4 * 1024), std::vector<float>(4 * 1024)};
    layer.index_open = {state.tokens() - 4, std::vector<float>(4 * 256),
                        std::vector<float>(4 * 256)};
  }
}

void DropFromPageCache(const std::filesystem::path& directory) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    fdatasync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
}

int64_t Written(PrefixStore& store) {
  const StoreStat stat = store.Stat().value();
  return stat.written_segment_bytes + stat.written_tail_bytes + stat.written_index_bytes;
}

class Bench {
 public:
  explicit Bench(std::string directory) : directory_(std::move(directory)) {}

  Status Run(int64_t tokens) {
    std::filesystem::remove_all(directory_);
    {
      DSV_ASSIGN(const auto store, Open());
      SessionState state = EmptyState(config_, Precision::kReference, /*mtp=*/false);
      std::mt19937_64 random(1);
      SavedPrefix saved;
      Grow(state, tokens, random);
      DSV_TRY(Save("all of it", *store, state, tokens, saved));
      Grow(state, tokens + kBlockTokens, random);
      DSV_TRY(Save("one more block", *store, state, kBlockTokens, saved));
    }
    DropFromPageCache(directory_);
    DSV_TRY(Restore(tokens, "cold"));
    return Restore(tokens, "warm");
  }

 private:
  Result<std::unique_ptr<StateStore>> Open() const {
    return StateStore::Open(directory_, {}, "restore bench", layout_);
  }

  Status Save(const char* what, StateStore& store, const SessionState& state, int64_t new_tokens,
              SavedPrefix& saved) const {
    const int64_t before = Written(store.store());
    const auto start = std::chrono::steady_clock::now();
    DSV_TRY(store.Save(state, /*is_interim=*/false, saved));
    const double seconds = SecondsSince(start);
    const int64_t written = Written(store.store()) - before;
    const auto tail = std::ssize(EncodeTail(state));
    const int64_t wanted = new_tokens / kBlockTokens * layout_.bytes() + tail;
    fmt::print(
        "{:>9} tokens  save {:<15} {:8.3f} s  {:>13} bytes for {:>13} of rows and tail: {:.4f}\n",
        state.tokens(), what, seconds, written, wanted,
        static_cast<double>(written) / static_cast<double>(wanted));
    return {};
  }

  Status Restore(int64_t tokens, const char* cache) const {
    const std::vector<int32_t> text = Tokens(0, tokens + kBlockTokens);
    const auto start = std::chrono::steady_clock::now();
    DSV_ASSIGN(const auto store, Open());
    SessionState state;
    DSV_ASSIGN(
        const bool found,
        store->Load(
            text, 0, [this] { return EmptyState(config_, Precision::kReference, false); }, state));
    const double seconds = SecondsSince(start);
    if (!found || state.tokens() != std::ssize(text)) return Fail("the state was not restored");
    fmt::print("{:>9} tokens  ready, {}        {:8.3f} s  {:>13} bytes of rows\n", state.tokens(),
               cache, seconds, state.tokens() / kBlockTokens * layout_.bytes());
    return {};
  }

  std::string directory_;
  ModelConfig config_ = FlashConfig();
  BlockLayout layout_{config_, Precision::kReference};
};

}  // namespace
}  // namespace dsv

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: restore_bench DIR [TOKENS...]\n");
    return 2;
  }
  std::vector<int64_t> lengths;
  for (int i = 2; i < argc; ++i) lengths.push_back(std::atoll(argv[i]));
  if (lengths.empty()) lengths = {24 << 10, 128 << 10, 1 << 20};
  dsv::Bench bench(argv[1]);
  for (const int64_t tokens : lengths) {
    if (const dsv::Status status = bench.Run(tokens); !status) {
      fmt::print(stderr, "restore_bench: {}\n", status.error().message);
      return 1;
    }
  }
  return 0;
}
