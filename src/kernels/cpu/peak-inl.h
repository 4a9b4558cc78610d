// The loops of peaks.h over the lanes that an instruction-set file defines before it includes this:
//   Lanes, Load(const void*) -> Lanes, Add(Lanes, Lanes), Fold(Lanes) -> uint64_t, kLaneBytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/peaks.h"

namespace dsv {
namespace {

template <int kStreams, int64_t kPrefetch>
uint64_t ReadStreams(const PeakRead& read) {
  constexpr int64_t kParts = kPeakReadStep / kLaneBytes;
  Lanes sum[4] = {Load(read.streams[0]), Load(read.streams[0]), Load(read.streams[0]),
                  Load(read.streams[0])};
  for (int64_t i = 0; i < read.bytes; i += kPeakReadStep) {
    for (int s = 0; s < kStreams; ++s) {
      const std::byte* const step = read.streams[s] + i;
      if (kPrefetch > 0) {
        for (int64_t line = 0; line < kPeakReadStep; line += 64) {
          __builtin_prefetch(step + kPrefetch + line);
        }
      }
      for (int64_t part = 0; part < kParts; ++part) {
        sum[part % 4] = Add(sum[part % 4], Load(step + part * kLaneBytes));
      }
    }
  }
  return Fold(Add(Add(sum[0], sum[1]), Add(sum[2], sum[3])));
}

template <int64_t kPrefetch>
uint64_t ReadWith(const PeakRead& read) {
  if (read.count >= 8) return ReadStreams<8, kPrefetch>(read);
  if (read.count >= 4) return ReadStreams<4, kPrefetch>(read);
  if (read.count >= 2) return ReadStreams<2, kPrefetch>(read);
  return ReadStreams<1, kPrefetch>(read);
}

uint64_t Read(const PeakRead& read) {
  if (read.prefetch == kPeakPrefetch[1]) return ReadWith<kPeakPrefetch[1]>(read);
  if (read.prefetch == kPeakPrefetch[2]) return ReadWith<kPeakPrefetch[2]>(read);
  return ReadWith<0>(read);
}

}  // namespace
}  // namespace dsv
