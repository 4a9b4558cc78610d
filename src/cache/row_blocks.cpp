#include "cache/row_blocks.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"

namespace dsv {
namespace {

// Zeros in pages of their own. Blocks live long among tails of states that come and go: in a heap
// they would take the place of a freed tail, and the next one more room.
std::byte* MapZeros(size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

}  // namespace

BlockLayout::BlockLayout(const ModelConfig& config, Precision precision)
    : rows(config.layers.size()), keys(config.layers.size()) {
  const RowFormat row = RowFormat::Main(precision, config.head_dim, config.qk_rope_head_dim);
  const RowFormat key = RowFormat::IndexKey(precision, config.index_head_dim);
  parts_.push_back(0);
  for (size_t i = 0; i < config.layers.size(); ++i) {
    if (config.layers[i] == LayerKind::kCsa) keys[i] = Add(key, CompressRatio(LayerKind::kCsa));
  }
  for (size_t i = 0; i < config.layers.size(); ++i) {
    if (config.layers[i] == LayerKind::kHca) rows[i] = Add(row, CompressRatio(LayerKind::kHca));
  }
  for (size_t i = 0; i < config.layers.size(); ++i) {
    if (config.layers[i] != LayerKind::kCsa) continue;
    if (bytes_ > parts_.back()) parts_.push_back(bytes_);
    rows[i] = Add(row, CompressRatio(LayerKind::kCsa));
  }
  if (bytes_ > parts_.back()) parts_.push_back(bytes_);
}

RowArea BlockLayout::Add(const RowFormat& format, int64_t ratio) {
  const RowArea area{format, kBlockTokens / ratio, bytes_, parts_.empty() ? 0 : parts_.size() - 1};
  bytes_ += area.rows * format.bytes();
  return area;
}

RowBlocks::RowBlocks(int64_t block_bytes, std::shared_ptr<BlockCount> held)
    : block_bytes_(block_bytes), held_(std::move(held)) {
  rest_.reserve(static_cast<size_t>(kBlockTokens));
}

std::unique_ptr<RowBlock> RowBlocks::NewBlock() const {
  auto block = std::make_unique<RowBlock>();
  const size_t size = std::max<size_t>(static_cast<size_t>(block_bytes_), 1);
  block->rows = MapZeros(size);
  block->memory = std::shared_ptr<const void>(
      block->rows, [held = held_, bytes = block_bytes_, size](const void* memory) {
        munmap(const_cast<void*>(memory), size);
        if (held != nullptr) *held -= bytes;
      });
  if (held_ != nullptr) *held_ += block_bytes_;
  return block;
}

RowBlocks RowBlocks::Copy() const {
  RowBlocks copy(block_bytes_, held_);
  copy.blank_ = blank_;
  copy.full_ = full_;
  copy.rest_.assign(rest_.begin(), rest_.end());
  for (const auto& block : filling_) {
    copy.filling_.push_back(NewBlock());
    std::memcpy(copy.filling_.back()->rows, block->rows, static_cast<size_t>(block_bytes_));
  }
  return copy;
}

bool RowBlock::Holds(size_t part) const {
  if (!verify) return true;
  std::atomic<uint64_t>& word = verified_[part / 64 % verified_.size()];
  const uint64_t bit = uint64_t{1} << (part % 64);
  if ((word.load(std::memory_order_relaxed) & bit) != 0) return true;
  if (!verify(part)) {
    is_damaged_ = true;
    return false;
  }
  word.fetch_or(bit, std::memory_order_relaxed);
  return true;
}

const std::byte* RowBlocks::Read(int64_t index, size_t part) const {
  const auto full = std::ssize(full_);
  if (index >= full) return filling_[static_cast<size_t>(index - full)]->rows;
  const RowBlock& block = *full_[static_cast<size_t>(index)];
  return block.Holds(part) ? block.rows : nullptr;
}

bool RowBlocks::HasDamage() const {
  return std::any_of(full_.begin(), full_.end(),
                     [](const auto& block) { return block->is_damaged(); });
}

void RowBlocks::Resume(std::span<const int32_t> rest, std::span<const std::byte> rows) {
  DSV_CHECK(filling_.empty() && rest_.empty() && std::ssize(rest) < kBlockTokens);
  rest_.assign(rest.begin(), rest.end());
  if (rows.empty()) return;
  DSV_CHECK(std::ssize(rows) == block_bytes_);
  std::memcpy(Write(std::ssize(full_)), rows.data(), rows.size());
}

std::span<const std::byte> RowBlocks::filling() const {
  if (filling_.empty()) return {};
  return {filling_.front()->rows, static_cast<size_t>(block_bytes_)};
}

std::byte* RowBlocks::Write(int64_t index) {
  const int64_t filling = index - std::ssize(full_);
  DSV_DCHECK(filling >= 0);
  while (std::ssize(filling_) <= filling) filling_.push_back(NewBlock());
  return filling_[static_cast<size_t>(filling)]->rows;
}

void RowBlocks::Advance(std::span<const int32_t> tokens) {
  while (!tokens.empty()) {
    const size_t count = std::min(tokens.size(), static_cast<size_t>(kBlockTokens) - rest_.size());
    rest_.insert(rest_.end(), tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(count));
    tokens = tokens.subspan(count);
    if (std::ssize(rest_) < kBlockTokens) return;
    Write(std::ssize(full_));  // models without compressed layers have written nothing
    std::copy(rest_.begin(), rest_.end(), filling_.front()->tokens.begin());
    full_.push_back(std::move(filling_.front()));
    filling_.erase(filling_.begin());
    rest_.clear();
  }
}

void RowBlocks::Share(std::shared_ptr<const RowBlock> block) {
  DSV_CHECK(filling_.empty() && rest_.empty());
  if (block->verify && blank_ == nullptr) blank_ = NewBlock();
  full_.push_back(std::move(block));
}

int64_t RowBlocks::SharedPrefix(std::span<const int32_t> tokens) const {
  int64_t shared = 0;
  const auto matches = [&](std::span<const int32_t> part) {
    const auto rest = tokens.subspan(static_cast<size_t>(shared));
    const auto same = std::mismatch(part.begin(), part.end(), rest.begin(), rest.end());
    shared += same.first - part.begin();
    return same.first == part.end();
  };
  for (const auto& block : full_) {
    if (!matches(block->tokens)) return shared;
  }
  matches(rest_);
  return shared;
}

std::vector<int32_t> RowBlocks::Tokens() const {
  std::vector<int32_t> all;
  all.reserve(static_cast<size_t>(tokens()));
  for (const auto& block : full_) all.insert(all.end(), block->tokens.begin(), block->tokens.end());
  all.insert(all.end(), rest_.begin(), rest_.end());
  return all;
}

int64_t RowBlocks::Bytes() const {
  constexpr auto kOverhead = static_cast<int64_t>(sizeof(RowBlock));
  return (std::ssize(full_) + std::ssize(filling_)) * (block_bytes_ + kOverhead) +
         static_cast<int64_t>(full_.capacity() * sizeof(full_[0]) + rest_.capacity() * 4);
}

RowStore RowStore::In(RowBlocks& blocks) const {
  RowStore store = *this;
  store.blocks_ = &blocks;
  return store;
}

void RowStore::Append(const float* row) {
  std::byte* block = blocks_->Write(size_ / area_.rows);
  area_.format.Pack(row, block + area_.offset + size_ % area_.rows * area_.format.bytes());
  ++size_;
}

const std::byte* RowStore::Stored(int64_t index) const {
  DSV_DCHECK(index >= 0 && index < size_);
  const std::byte* rows = blocks_->Read(index / area_.rows, area_.part);
  if (rows == nullptr) rows = blocks_->Blank();
  return rows + area_.offset + index % area_.rows * area_.format.bytes();
}

}  // namespace dsv
