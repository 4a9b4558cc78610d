// What the cores of this machine can do at best: loops that do nothing but read memory or multiply.
// They are the roofs that `dsv4 bench` measures kernels against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dsv {

// Reads the same number of bytes, a multiple of kPeakReadStep, from each of 1 to kPeakStreams
// addresses, which are multiples of 64. The result depends on every byte.
inline constexpr int64_t kPeakReadStep = 256;
inline constexpr int64_t kPeakStreams = 8;
inline constexpr int64_t kPeakPrefetch[] = {0, 512, 2048};
struct PeakRead {
  const std::byte* streams[kPeakStreams];
  int64_t count;
  int64_t bytes;     // of each
  int64_t prefetch;  // bytes ahead of the loads that lines are asked for: one of kPeakPrefetch
};

// A loop of multiply-adds on registers. The result depends on all of them.
struct PeakLoop {
  float (*run)(int64_t rounds) = nullptr;  // null: the instruction set has none
  int64_t operations = 0;                  // of a round; a multiply-add counts 2
};

struct PeakKernels {
  const char* name = "";
  uint64_t (*read)(const PeakRead& read) = nullptr;
  PeakLoop fp32;  // multiply-adds of floats
  PeakLoop bf16;  // dot products of bf16, accumulated in fp32
  PeakLoop int8;  // dot products of bytes, accumulated in int32
};

extern const PeakKernels kScalarPeaks;
extern const PeakKernels kAvx2Peaks;
extern const PeakKernels kAvx512Peaks;
extern const PeakKernels kAvx512VnniPeaks;
extern const PeakKernels kAvx512Bf16Peaks;
extern const PeakKernels kAmxPeaks;

// Those that this machine has, from the least to the best.
std::vector<const PeakKernels*> MachinePeaks();

}  // namespace dsv
