// The rows that grow with the context, in blocks of 128 tokens (design.md section 3).
//
// A block holds, for all layers, the rows of 128 consecutive tokens: 32 rows and 32 keys of a CSA
// layer, one row of an HCA layer. A block that is full never changes again; branches, snapshots and
// the store on disk share it. The one that is still filling belongs to its session alone.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cache/row_format.h"
#include "checkpoint/config.h"
#include "store/chain_key.h"

namespace dsv {

// Where the rows of one layer lie in a block, one after another.
struct RowArea {
  RowFormat format;
  int64_t rows = 0;    // of one block
  int64_t offset = 0;  // bytes from the start of the block
  size_t part = 0;     // of BlockLayout::parts
};

class BlockLayout {
 public:
  BlockLayout() = default;
  // The areas of a model. First what attention reads as a whole, the index keys and the HCA rows,
  // then the CSA rows, of which it gathers some.
  BlockLayout(const ModelConfig& config, Precision precision);

  RowArea Add(const RowFormat& format, int64_t ratio);  // one row for every `ratio` tokens

  int64_t bytes() const { return bytes_; }
  // The block in parts that are read together: bytes [parts[i], parts[i + 1]).
  const std::vector<int64_t>& parts() const { return parts_; }

  std::vector<std::optional<RowArea>> rows;  // per main layer; CSA, HCA
  std::vector<std::optional<RowArea>> keys;  // per main layer; CSA

 private:
  int64_t bytes_ = 0;
  std::vector<int64_t> parts_;
};

struct RowBlock {
  std::array<int32_t, kBlockTokens> tokens{};  // input ids; set when the block is full
  // Keeps `rows` alive: memory of its own or a mapped file, in which case nothing writes there.
  std::shared_ptr<const void> memory;
  std::byte* rows = nullptr;  // [layout.bytes], aligned to 64 bytes
  // Of a mapped file: whether a part of the layout holds what was stored. Asked before its rows are
  // first read, so that a session is ready before its file has been read; null elsewhere.
  std::function<bool(size_t part)> verify;

  bool Holds(size_t part) const;
  bool is_damaged() const { return is_damaged_; }

 private:
  mutable std::array<std::atomic<uint64_t>, 16> verified_{};  // a bit for each part
  mutable std::atomic<bool> is_damaged_ = false;
};

// Bytes of all blocks that exist in memory, shared ones counted once.
using BlockCount = std::atomic<int64_t>;

// The blocks of one session. Full blocks are shared, hence the shared_ptr.
class RowBlocks {
 public:
  // `held` is told of memory that is allocated and freed.
  explicit RowBlocks(int64_t block_bytes, std::shared_ptr<BlockCount> held = nullptr);
  // Shares the full blocks and copies the one that is filling.
  RowBlocks Copy() const;

  int64_t tokens() const { return std::ssize(full_) * kBlockTokens + std::ssize(rest_); }
  std::span<const std::shared_ptr<const RowBlock>> full() const { return full_; }
  std::span<const int32_t> rest() const { return rest_; }  // tokens after the full blocks
  // The rows of block `index`, full or not; it must exist. Null if `part` of it is damaged.
  const std::byte* Read(int64_t index, size_t part) const;
  bool HasDamage() const;
  // The rows of a block that is not full, made if there is none yet.
  std::byte* Write(int64_t index);
  // The rows of these tokens are written: blocks that they fill become shared.
  void Advance(std::span<const int32_t> tokens);
  // Go on from stored state: full blocks first, then the tokens after them with the rows of the
  // block that they fill, empty if there are none.
  void Share(std::shared_ptr<const RowBlock> block);
  void Resume(std::span<const int32_t> rest, std::span<const std::byte> rows);
  std::span<const std::byte> filling() const;  // those rows; empty if there is no such block

  // How many of `tokens` are the first ones here.
  int64_t SharedPrefix(std::span<const int32_t> tokens) const;
  std::vector<int32_t> Tokens() const;

  int64_t block_bytes() const { return block_bytes_; }
  const std::byte* Blank() const { return blank_->rows; }  // stands in for damaged blocks
  int64_t Bytes() const;                                   // allocated, shared blocks included

 private:
  std::unique_ptr<RowBlock> NewBlock() const;

  int64_t block_bytes_;
  std::shared_ptr<BlockCount> held_;
  std::shared_ptr<const RowBlock> blank_;  // made with the first mapped block
  std::vector<std::shared_ptr<const RowBlock>> full_;
  std::vector<std::unique_ptr<RowBlock>> filling_;  // more than one only during a pass
  std::vector<int32_t> rest_;                       // fewer than kBlockTokens
};

// The rows of one layer, append-only. Refers to the blocks of its session, which must outlive it.
class RowStore {
 public:
  RowStore(RowBlocks& blocks, const RowArea& area) : blocks_(&blocks), area_(area) {}
  // The same rows in a copy of their blocks.
  RowStore In(RowBlocks& blocks) const;

  int64_t size() const { return size_; }
  const RowFormat& format() const { return area_.format; }
  int64_t rows_per_block() const { return area_.rows; }

  void Append(const float* row);  // [width]
  // The stored bytes of row `index`; the rows up to the end of its block follow it. Of a damaged
  // block bytes that mean nothing: whoever runs the pass discards its results.
  const std::byte* Stored(int64_t index) const;
  // The rows of the first `tokens` tokens are in the blocks already.
  void Resume(int64_t tokens) { size_ = tokens * area_.rows / kBlockTokens; }

 private:
  RowBlocks* blocks_;
  RowArea area_;
  int64_t size_ = 0;
};

}  // namespace dsv
