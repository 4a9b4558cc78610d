#include "store/chain_key.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xxhash.h>

#include <bit>
#include <vector>

#include "base/check.h"

namespace dsv {
namespace {

static_assert(std::endian::native == std::endian::little, "token ids are hashed as stored");

// One seed per kind of name: a tail never has the name of a block.
constexpr uint64_t kRootSeed = 1;
constexpr uint64_t kBlockSeed = 2;
constexpr uint64_t kTailSeed = 3;

ChainKey Hash(const void* data, size_t size, uint64_t seed) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(data, size, seed));
  ChainKey key;
  static_assert(sizeof canonical.digest == sizeof key.bytes);
  std::memcpy(key.bytes.data(), canonical.digest, sizeof canonical.digest);
  return key;
}

ChainKey Continue(const ChainKey& parent, std::span<const int32_t> tokens, uint64_t seed) {
  std::array<uint8_t, sizeof parent.bytes + kBlockTokens * sizeof(int32_t)> text{};
  std::memcpy(text.data(), parent.bytes.data(), sizeof parent.bytes);
  if (!tokens.empty()) {
    std::memcpy(text.data() + sizeof parent.bytes, tokens.data(), tokens.size_bytes());
  }
  return Hash(text.data(), sizeof parent.bytes + tokens.size_bytes(), seed);
}

}  // namespace

ChainKey RootKey(std::string_view identity) {
  return Hash(identity.data(), identity.size(), kRootSeed);
}

ChainKey NextKey(const ChainKey& parent, std::span<const int32_t> tokens) {
  DSV_CHECK(std::ssize(tokens) == kBlockTokens);
  return Continue(parent, tokens, kBlockSeed);
}

ChainKey TailKey(const ChainKey& parent, std::span<const int32_t> rest) {
  DSV_CHECK(std::ssize(rest) < kBlockTokens);
  return Continue(parent, rest, kTailSeed);
}

std::string Hex(const ChainKey& key) { return fmt::format("{:02x}", fmt::join(key.bytes, "")); }

}  // namespace dsv
