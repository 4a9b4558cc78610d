// Names of blocks: a block of kBlockTokens tokens is named by its own tokens and all before it, so
// that equal prefixes of one model have equal names in every session and every run.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace dsv {

inline constexpr int64_t kBlockTokens = 128;

struct ChainKey {
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const ChainKey&) const = default;
};

// The name of the empty prefix. `identity` names everything but the tokens that the stored bytes
// depend on: fingerprint of the model, precision, version of the row format.
ChainKey RootKey(std::string_view identity);

// The name of the block that continues `parent` (a block or a root) with kBlockTokens tokens.
ChainKey NextKey(const ChainKey& parent, std::span<const int32_t> tokens);

// The name of a tail: `rest`, fewer than kBlockTokens tokens, after `parent`.
ChainKey TailKey(const ChainKey& parent, std::span<const int32_t> rest);

// 32 hexadecimal digits.
std::string Hex(const ChainKey& key);

}  // namespace dsv

template <>
struct std::hash<dsv::ChainKey> {
  size_t operator()(const dsv::ChainKey& key) const noexcept {
    size_t value = 0;
    std::memcpy(&value, key.bytes.data(), sizeof value);
    return value;
  }
};
