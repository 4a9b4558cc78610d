// Random states of sessions, for SyntheticModel.
#include <cstring>
#include <vector>

#include "base/check.h"
#include "cli/bench/random_values.h"
#include "cli/bench/synthetic_model.h"

namespace dsv::cli {
namespace {

constexpr int64_t kScaleBlock = 64;  // components of a main row that share a scale
constexpr double kKeySize = 0.5;

std::span<std::byte> Slice(std::byte* bytes, int64_t begin, int64_t size) {
  return {bytes + begin, static_cast<size_t>(size)};
}

std::vector<float> RandomFloats(uint64_t seed, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  FillRandom(seed, {ValueKind::kF32, 1}, std::as_writable_bytes(std::span(values)));
  return values;
}

OpenGroup RandomGroup(uint64_t seed, int64_t first_position, int64_t rows, int64_t width) {
  return {first_position, RandomFloats(seed, rows * width), RandomFloats(seed + 1, rows * width)};
}

// What a compressor has after `tokens` tokens, a multiple of every ratio: of overlapping groups the
// one before the next, of others nothing.
void FillTail(const ModelConfig& config, int64_t tokens, uint64_t seed, LayerKind kind,
              LayerState& state) {
  const int64_t rotated = config.qk_rope_head_dim;
  FillMainRows(seed, config.sliding_window, config.head_dim, rotated, state.window.stored().data());
  state.open.first_position = tokens;
  state.index_open.first_position = tokens;
  if (kind != LayerKind::kCsa || tokens == 0) return;
  const int64_t ratio = CompressRatio(kind);
  state.open = RandomGroup(seed + 1, tokens - ratio, ratio, 2 * config.head_dim);
  state.index_open = RandomGroup(seed + 3, tokens - ratio, ratio, 2 * config.index_head_dim);
}

}  // namespace

void FillMainRows(uint64_t seed, int64_t count, int64_t width, int64_t rotated, std::byte* rows) {
  const int64_t plain = width - rotated;
  const int64_t scales = (plain + kScaleBlock - 1) / kScaleBlock;
  const int64_t tail = (plain + scales + 7) / 8 * 8;
  const int64_t bytes = tail + 2 * rotated;
  std::memset(rows, 0, static_cast<size_t>(count * bytes));
  for (int64_t i = 0; i < count; ++i, rows += bytes) {
    const uint64_t own = seed + static_cast<uint64_t>(3 * i);
    FillRandom(own, {ValueKind::kE4M3, 1}, Slice(rows, 0, plain));
    FillRandom(own + 1, {ValueKind::kE8M0, 1}, Slice(rows, plain, scales));
    FillRandom(own + 2, {ValueKind::kBf16, 1}, Slice(rows, tail, 2 * rotated));
  }
}

void FillIndexKeys(uint64_t seed, int64_t count, int64_t width, std::byte* keys) {
  const int64_t scales = width / kFp4Block;
  for (int64_t i = 0; i < count; ++i, keys += width / 2 + scales) {
    const uint64_t own = seed + static_cast<uint64_t>(2 * i);
    FillRandom(own, {ValueKind::kBytes, 1}, Slice(keys, 0, width / 2));
    FillRandom(own + 1, {ValueKind::kE8M0, kKeySize}, Slice(keys, width / 2, scales));
  }
}

SessionState SyntheticState(const ModelConfig& config, int64_t tokens, ThreadPool& pool) {
  DSV_CHECK(tokens % kBlockTokens == 0);
  const BlockLayout layout(config, Precision::kReference);
  SessionState state = EmptyState(config, Precision::kReference, /*mtp=*/false);
  std::vector<std::byte*> blocks;
  for (int64_t b = 0; b < tokens / kBlockTokens; ++b) {
    blocks.push_back(state.blocks->Write(b));
    state.blocks->Advance(std::vector<int32_t>(kBlockTokens, 0));
  }
  pool.ParallelFor(std::ssize(blocks), [&](int64_t b, int64_t) {
    std::byte* const block = blocks[static_cast<size_t>(b)];
    for (size_t layer = 0; layer < layout.rows.size(); ++layer) {
      const uint64_t seed = (static_cast<uint64_t>(b) << 16) + (layer << 8);
      if (const auto& area = layout.rows[layer]) {
        FillMainRows(seed << 8, area->rows, config.head_dim, config.qk_rope_head_dim,
                     block + area->offset);
      }
      if (const auto& area = layout.keys[layer]) {
        FillIndexKeys(~(seed << 8), area->rows, config.index_head_dim, block + area->offset);
      }
    }
  });
  for (size_t layer = 0; layer < state.layers.size(); ++layer) {
    LayerState& own = state.layers[layer];
    if (own.rows) own.rows->Resume(tokens);
    if (own.keys) own.keys->Resume(tokens);
    if (tokens > 0) FillTail(config, tokens, layer << 40, config.layers[layer], own);
  }
  return state;
}

}  // namespace dsv::cli
