// The tokens by id and by bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dsv {

// Every token's bytes by id. Ids may have gaps. Immutable once built.
class TokenTable {
 public:
  // `bytes_by_id` is indexed by id; an empty string is an id without a token.
  explicit TokenTable(const std::vector<std::string>& bytes_by_id);

  // One more than the highest id.
  int64_t size() const { return static_cast<int64_t>(starts_.size()) - 1; }
  // Empty for an id that has no token; `id` must be in [0, size()).
  std::string_view Bytes(int64_t id) const {
    const uint32_t start = starts_[static_cast<size_t>(id)];
    return std::string_view(bytes_).substr(start, starts_[static_cast<size_t>(id) + 1] - start);
  }
  int64_t longest() const { return longest_; }

 private:
  std::string bytes_;
  std::vector<uint32_t> starts_;  // [size + 1]
  int64_t longest_ = 0;
};

// Finds tokens of a TokenTable by their bytes. An open-addressing hash table; the table must
// outlive it and is passed to every call, so that both can be moved together.
class TokenIndex {
 public:
  explicit TokenIndex(int64_t capacity);

  // False if a token with the same bytes is already there.
  bool Insert(const TokenTable& table, int32_t id);
  // The id, or -1.
  int32_t Find(const TokenTable& table, std::string_view bytes) const;

 private:
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };

  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace dsv
