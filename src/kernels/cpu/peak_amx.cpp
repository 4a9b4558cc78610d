#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/tiles_amx.h"
#include "kernels/peaks.h"

namespace dsv {
namespace {

// Four sums, two left and two right operands, as in a kernel that multiplies 32 x 32 outputs. The
// operands are not zeros: with varied bits the units take half as long again, and weights vary.
void Start() {
  ConfigureTiles(32, 16);
  alignas(64) uint16_t operand[16 * 32];
  uint32_t state = 1;
  for (uint16_t& value : operand) {
    state = state * 1664525 + 1013904223;
    value = static_cast<uint16_t>(0x3F00 + (state >> 24 & 0xFF) + (state >> 8 & 0x8000));  // +-0.5 to 2
  }
  TileFence();
  _tile_loadd(4, operand, 64);
  _tile_loadd(5, operand, 64);
  _tile_loadd(6, operand, 64);
  _tile_loadd(7, operand, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

float Finish() {
  alignas(64) float sums[16 * 16];
  _tile_stored(0, sums, 64);
  TileFence();
  float all = sums[0];
  _tile_stored(3, sums, 64);
  TileFence();
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
