#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/peaks.h"

namespace dsv {
namespace {

// Eight tiles of 16 rows of 64 bytes: four sums, two left and two right operands, as in a kernel
// that multiplies 32 x 32 outputs.
struct alignas(64) Config {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void Start() {
  const Config config;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

float Finish() {
  alignas(64) float sums[16 * 16];
  _tile_stored(0, sums, 64);
  float all = sums[0];
  _tile_stored(3, sums, 64);
  all += sums[255];
  _tile_release();
  return all;
}

float Bf16(int64_t rounds) {
  Start();
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  return Finish();
}

float Int8(int64_t rounds) {
  Start();
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  return Finish();
}

constexpr int64_t kOutputs = 4 * 16 * 16;

}  // namespace

const PeakKernels kAmxPeaks{
    "amx", nullptr, {}, {Bf16, kOutputs * 32 * 2}, {Int8, kOutputs * 64 * 2}};

}  // namespace dsv
