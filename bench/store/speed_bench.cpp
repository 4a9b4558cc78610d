// Writing and restoring a context of Flash-shaped blocks (449,824 bytes in 43 parts), flushed every
// 2,048 tokens: store_speed_bench DIR [BLOCKS]. DIR must not exist; it is left there.
//   store_speed_bench DIR restore    only opens and restores it
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "store/prefix_store.h"

namespace {

namespace fs = std::filesystem;

constexpr size_t kParts = 43;
constexpr size_t kPartBytes = 10461;

class Timer {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void Require(const dsv::Status& status) {
  if (status) return;
  fmt::print(stderr, "store_speed_bench: {}\n", status.error().message);
  std::exit(1);
}

template <class T>
T Value(dsv::Result<T> result) {
  if (!result) Require(tl::unexpected(result.error()));
  return *std::move(result);
}

std::vector<int32_t> TokensOf(int64_t block) {
  std::vector<int32_t> tokens(dsv::kBlockTokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>((block * 131 + static_cast<int64_t>(i)) % 129280);
  }
  return tokens;
}

// Every block gets other bytes, so that a disk that compresses or merges does not flatter us.
void Write(const fs::path& directory, int64_t blocks) {
  const auto store = Value(dsv::PrefixStore::Open(directory));
  std::vector<uint64_t> data(kParts * kPartBytes / sizeof(uint64_t) + 1);
  uint64_t state = 1;
  std::vector<std::span<const std::byte>> parts;
  for (size_t i = 0; i < kParts; ++i) {
    parts.push_back(std::as_bytes(std::span(data)).subspan(i * kPartBytes, kPartBytes));
  }
  dsv::ChainKey key = Value(store->AddRoot("bench"));
  const Timer timer;
  double made = 0;
  for (int64_t i = 0; i < blocks; ++i) {
    const Timer making;
    for (uint64_t& word : data) word = state = state * 6364136223846793005u + 1442695040888963407u;
    made += making.Seconds();
    Value(store->Put(key, TokensOf(i), parts));
    key = dsv::NextKey(key, TokensOf(i));
    if (i % 16 == 15) Require(store->Flush());
  }
  Require(store->Flush());
  const double seconds = timer.Seconds() - made;
  const double megabytes = static_cast<double>(blocks * kParts * kPartBytes) / 1e6;
  const dsv::StoreStat stat = Value(store->Stat());
  fmt::print("put     {:8.0f} MB in {:.2f} s, {:.0f} MB/s, flushed every 16 blocks\n", megabytes,
             seconds, megabytes / seconds);
  fmt::print("written {:8.3f} % more than the rows in segments, {:.3f} % in the index\n",
             static_cast<double>(stat.written_segment_bytes) / megabytes / 1e4 - 100,
             static_cast<double>(stat.written_index_bytes) / megabytes / 1e4);
}

void Restore(const fs::path& directory, const char* what) {
  const Timer opening;
  const auto store = Value(dsv::PrefixStore::Open(directory));
  const double opened = opening.Seconds();
  const Timer getting;
  std::vector<dsv::StoredBlock> blocks;
  dsv::ChainKey key = dsv::RootKey("bench");
  while (true) {
    key = dsv::NextKey(key, TokensOf(static_cast<int64_t>(blocks.size())));
    auto block = Value(store->Get(key));
    if (!block) break;
    blocks.push_back(*std::move(block));
  }
  fmt::print("{:7} open {:.1f} ms, {} blocks mapped in {:.1f} ms", what, opened * 1e3,
             blocks.size(), getting.Seconds() * 1e3);
  const Timer verifying;
  size_t bad = 0;
  for (const dsv::StoredBlock& block : blocks) {
    for (size_t i = 0; i < block.part_count(); ++i) bad += block.Verify(i) ? 0 : 1;
  }
  const double bytes = static_cast<double>(blocks.size() * kParts * kPartBytes);
  fmt::print(", all verified in {:.2f} s ({:.2f} GB/s, {} bad)\n", verifying.Seconds(),
             bytes / verifying.Seconds() / 1e9, bad);
}

// Asks the system to forget the pages of the store's files; they are all on disk.
void ForgetPages(const fs::path& directory) {
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: store_speed_bench DIR [BLOCKS|restore]\n");
    return 2;
  }
  if (argc < 3 || std::string_view(argv[2]) != "restore") {
    Write(argv[1], argc > 2 ? std::atoll(argv[2]) : 8192);
  }
  ForgetPages(argv[1]);
  Restore(argv[1], "cold");
  Restore(argv[1], "warm");
  return 0;
}
