// The configuration of AMX tiles.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

// g++ does not know that tile instructions read and write memory: what they read must be stored
// before a fence, and what they wrote may be read after one.
inline void TileFence() { asm volatile("" ::: "memory"); }

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void Set(int tile, int64_t row_count, int64_t bytes) {
    rows[tile] = static_cast<uint8_t>(row_count);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};

inline void LoadTileConfig(const TileConfig& config) {
  asm volatile("" ::"r"(&config) : "memory");
  _tile_loadconfig(&config);
}

// For products of up to 32 rows on the left, in tiles 4 and 5, with `width` columns in each of the
// tiles 6 and 7 on the right; tiles 0 to 3 are the sums, [upper, lower] x [first, second].
inline void ConfigureTiles(int64_t rows, int64_t width) {
  const int64_t upper = rows < 16 ? rows : 16;
  const int64_t lower = rows > 16 ? rows - 16 : upper;
  TileConfig config;
  for (int sum = 0; sum < 4; ++sum) config.Set(sum, sum < 2 ? upper : lower, 4 * width);
  config.Set(4, upper, 64);
  config.Set(5, lower, 64);
  config.Set(6, 16, 4 * width);
  config.Set(7, 16, 4 * width);
  LoadTileConfig(config);
}

}  // namespace
