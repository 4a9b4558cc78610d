#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace dsv {
namespace {

uint64_t LoadWord(const char* at, size_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, at, bytes);
  return word;
}

// Folded multiplication over 8-byte words (the scheme of wyhash). Not for hostile keys: a collision
// costs one comparison, and only the tokens of the vocabulary are stored.
uint64_t HashBytes(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15u;
  uint64_t hash = bytes.size() * kMultiplier;
  const auto mix = [&hash](uint64_t word) {
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 32;
  };
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) mix(LoadWord(at, 8));
  mix(LoadWord(at, left));
  return hash;
}

}  // namespace

TokenTable::TokenTable(const std::vector<std::string>& bytes_by_id) {
  size_t total = 0;
  for (const std::string& bytes : bytes_by_id) total += bytes.size();
  bytes_.reserve(total);
  starts_.reserve(bytes_by_id.size() + 1);
  for (const std::string& bytes : bytes_by_id) {
    starts_.push_back(static_cast<uint32_t>(bytes_.size()));
    bytes_ += bytes;
    longest_ = std::max(longest_, static_cast<int64_t>(bytes.size()));
  }
  starts_.push_back(static_cast<uint32_t>(bytes_.size()));
}

TokenIndex::TokenIndex(int64_t capacity)
    : slots_(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(capacity, 1)) * 2)) {}

bool TokenIndex::Insert(const TokenTable& table, int32_t id) {
  const std::string_view bytes = table.Bytes(id);
  const uint64_t hash = HashBytes(bytes);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  size_t i = hash & (slots_.size() - 1);
  for (; slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].tag == tag && table.Bytes(slots_[i].id) == bytes) return false;
  }
  slots_[i] = {tag, id};
  return true;
}

int32_t TokenIndex::Find(const TokenTable& table, std::string_view bytes) const {
  const uint64_t hash = HashBytes(bytes);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  for (size_t i = hash & (slots_.size() - 1); slots_[i].id >= 0;
       i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].tag == tag && table.Bytes(slots_[i].id) == bytes) return slots_[i].id;
  }
  return -1;
}

}  // namespace dsv
