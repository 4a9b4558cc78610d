// Small chains of pseudo-random blocks, the same for the same seed.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "store/prefix_store.h"
#include "support/temp_dir.h"

namespace dsv::testing {

using Payload = std::vector<std::vector<std::byte>>;

inline std::vector<int32_t> MakeTokens(uint64_t seed, size_t count = kBlockTokens) {
  std::mt19937_64 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 129280);
  return tokens;
}

inline Payload MakePayload(uint64_t seed, std::span<const size_t> sizes) {
  std::mt19937_64 random(seed ^ 0x5EED);
  Payload parts;
  for (const size_t size : sizes) {
    std::vector<std::byte>& part = parts.emplace_back(size);
    for (std::byte& byte : part) byte = static_cast<std::byte>(random());
  }
  return parts;
}

inline Payload MakePayload(uint64_t seed) {
  constexpr size_t kSizes[] = {600, 0, 5000};
  return MakePayload(seed, kSizes);
}

inline std::vector<std::span<const std::byte>> Views(const Payload& parts) {
  return {parts.begin(), parts.end()};
}

// Whether a record reads as `parts`, every part verified.
inline bool Holds(const StoredBlock& block, const Payload& parts) {
  if (block.part_count() != parts.size()) return false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto found = block.part(i);
    if (!block.Verify(i) ||
        !std::equal(found.begin(), found.end(), parts[i].begin(), parts[i].end()))
      return false;
  }
  return true;
}

inline std::unique_ptr<PrefixStore> OpenStore(const std::filesystem::path& directory,
                                              const StoreOptions& options = {}) {
  auto store = PrefixStore::Open(directory, options);
  EXPECT_TRUE(store) << store.error().message;
  return store ? *std::move(store) : nullptr;
}

inline std::string OpenError(const std::filesystem::path& directory,
                             const StoreOptions& options = {}) {
  const auto store = PrefixStore::Open(directory, options);
  return store ? "no error" : store.error().message;
}

// The blocks seed, seed + 1, ... below `parent`.
struct Chain {
  ChainKey parent;
  uint64_t seed = 0;
  size_t length = 0;

  std::vector<ChainKey> Keys() const {
    std::vector<ChainKey> keys;
    ChainKey key = parent;
    for (size_t i = 0; i < length; ++i) keys.push_back(key = NextKey(key, MakeTokens(seed + i)));
    return keys;
  }
};

// The outcome for each block; stops at an error.
inline std::vector<PutOutcome> PutChain(PrefixStore& store, const Chain& chain) {
  std::vector<PutOutcome> outcomes;
  ChainKey key = chain.parent;
  for (size_t i = 0; i < chain.length; ++i) {
    const auto tokens = MakeTokens(chain.seed + i);
    const Payload payload = MakePayload(chain.seed + i);
    const auto outcome = store.Put(key, tokens, Views(payload));
    EXPECT_TRUE(outcome) << outcome.error().message;
    if (!outcome) break;
    outcomes.push_back(*outcome);
    key = NextKey(key, tokens);
  }
  return outcomes;
}

// How many blocks from the first one on are there and hold what was put.
inline size_t CountHeld(PrefixStore& store, const Chain& chain) {
  const auto keys = chain.Keys();
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto block = store.Get(keys[i]);
    EXPECT_TRUE(block) << block.error().message;
    if (!block || !*block) return i;
    EXPECT_TRUE(Holds(**block, MakePayload(chain.seed + i))) << "block " << i;
  }
  return keys.size();
}

// A flushed store with one root and one chain below it.
struct StoreWithChain {
  explicit StoreWithChain(size_t length, const StoreOptions& options = {}) {
    store = OpenStore(directory.path(), options);
    root = *store->AddRoot("model");
    chain = {root, 1, length};
    PutChain(*store, chain);
    EXPECT_TRUE(store->Flush());
  }
  void Close() { store.reset(); }
  void Reopen(const StoreOptions& options = {}) {
    Close();
    store = OpenStore(directory.path(), options);
  }

  TempDir directory;
  std::unique_ptr<PrefixStore> store;
  ChainKey root;
  Chain chain;
};

inline size_t CountFiles(const std::filesystem::path& directory) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    count += entry.is_regular_file() ? 1 : 0;
  }
  return count;
}

}  // namespace dsv::testing
