// Four lanes in portable C++. See simd_avx512.h for the interface that kernels-inl.h needs.
#pragma once

#include <cstdint>

#include "tensor/number_formats.h"

namespace {

constexpr int64_t kLanes = 4;

struct Vec {
  float lane[kLanes];
};

inline Vec Zero() { return Vec{}; }

inline Vec Broadcast(float value) { return Vec{{value, value, value, value}}; }

inline Vec Load(const float* data) { return Vec{{data[0], data[1], data[2], data[3]}}; }

inline Vec LoadPartial(const float* data, int64_t count) {
  Vec v{};
  for (int64_t i = 0; i < count; ++i) v.lane[i] = data[i];
  return v;
}

inline void Store(Vec v, float* data) {
  for (int64_t i = 0; i < kLanes; ++i) data[i] = v.lane[i];
}

inline void StorePartial(Vec v, float* data, int64_t count) {
  for (int64_t i = 0; i < count; ++i) data[i] = v.lane[i];
}

inline Vec Mul(Vec a, Vec b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] *= b.lane[i];
  return a;
}

inline Vec Add(Vec a, Vec b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] += b.lane[i];
  return a;
}

inline Vec Sub(Vec a, Vec b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] - b.lane[i];
  return a;
}

inline Vec Div(Vec a, Vec b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] / b.lane[i];
  return a;
}

inline Vec Sqrt(Vec v) {
  for (float& lane : v.lane) lane = __builtin_sqrtf(lane);
  return v;
}

inline Vec Max(Vec a, Vec b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
  return a;
}

inline Vec Min(Vec a, Vec b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
  return a;
}

// In two steps, because 2^n need not be a normal float; only the second rounds.
inline Vec TimesPowerOfTwo(Vec v, Vec n) {
  for (int64_t i = 0; i < kLanes; ++i) {
    const int32_t exponent = __builtin_bit_cast(int32_t, n.lane[i] + 0x1.8p23F) - 0x4B400000;
    const int32_t first = exponent / 2;
    const int32_t second = exponent - first;
    v.lane[i] *= __builtin_bit_cast(float, (first + 127) << 23);
    v.lane[i] *= __builtin_bit_cast(float, (second + 127) << 23);
  }
  return v;
}

template <int64_t kDistance>
inline Vec ExchangeLanes(Vec v) {
  static_assert(kDistance == 1 || kDistance == 2);
  Vec exchanged{};
  for (int64_t i = 0; i < kLanes; ++i) exchanged.lane[i] = v.lane[i ^ kDistance];
  return exchanged;
}

inline Vec Relu(Vec v) {
  for (float& lane : v.lane) lane = lane < 0 ? 0.0F : lane;
  return v;
}

inline Vec RoundLanesToBf16(Vec v) {
  for (float& lane : v.lane) lane = dsv::RoundBf16(lane);
  return v;
}

inline Vec MulAdd(Vec a, Vec b, Vec c) {
  for (int64_t i = 0; i < kLanes; ++i) c.lane[i] += a.lane[i] * b.lane[i];
  return c;
}

inline float Sum(Vec v) { return (v.lane[0] + v.lane[2]) + (v.lane[1] + v.lane[3]); }

struct Ints {
  int32_t lane[kLanes];
};

inline Ints BitsOf(Vec v) { return __builtin_bit_cast(Ints, v); }

inline Vec FloatOfBits(Ints v) { return __builtin_bit_cast(Vec, v); }

inline Ints And(Ints a, Ints b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] & b.lane[i];
  return a;
}

inline Ints Or(Ints a, Ints b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] | b.lane[i];
  return a;
}

inline Ints AddInts(Ints a, Ints b) {
  for (int64_t i = 0; i < kLanes; ++i)
    a.lane[i] =
        static_cast<int32_t>(static_cast<uint32_t>(a.lane[i]) + static_cast<uint32_t>(b.lane[i]));
  return a;
}

inline Ints MaxInts(Ints a, Ints b) {
  for (int64_t i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
  return a;
}

inline Ints BroadcastInt(int32_t value) { return Ints{{value, value, value, value}}; }

inline Ints LoadInts(const void* data) { return dsv::LoadUnaligned<Ints>(data); }

inline Vec ToFloat(Ints v) {
  Vec f{};
  for (int64_t i = 0; i < kLanes; ++i) f.lane[i] = static_cast<float>(v.lane[i]);
  return f;
}

inline Ints DotBytes(Ints sum, Ints u, Ints s) {
  for (int64_t i = 0; i < kLanes; ++i) {
    const auto bytes = static_cast<uint32_t>(u.lane[i]);
    const auto factors = static_cast<uint32_t>(s.lane[i]);
    for (unsigned shift = 0; shift < 32; shift += 8) {
      sum.lane[i] += static_cast<int32_t>(bytes >> shift & 0xFFU) *
                     static_cast<int8_t>(factors >> shift & 0xFFU);
    }
  }
  return sum;
}

inline Ints GatherBytes(const uint8_t* rows, int64_t stride, int64_t count, int64_t offset) {
  Ints v{};
  for (int64_t i = 0; i < kLanes; ++i) {
    const int64_t row = i < count ? i : count - 1;
    v.lane[i] = dsv::LoadUnaligned<int32_t>(rows + row * stride + offset);
  }
  return v;
}

inline Ints LookUpNibbles(Ints bytes, bool upper, const uint8_t* table) {
  for (int32_t& lane : bytes.lane) {
    const uint32_t nibbles = static_cast<uint32_t>(lane) >> (upper ? 16 : 0);
    uint32_t found = 0;
    for (unsigned i = 0; i < 4; ++i) {
      found |= static_cast<uint32_t>(table[nibbles >> (4 * i) & 15U]) << (8 * i);
    }
    lane = static_cast<int32_t>(found);
  }
  return bytes;
}

inline void StoreInts(Ints v, void* data) { __builtin_memcpy(data, &v, sizeof v); }

inline Vec LoadBf16(const void* data) {
  Vec v{};
  for (int64_t i = 0; i < kLanes; ++i) {
    v.lane[i] =
        dsv::Bf16ToFloat(dsv::LoadUnaligned<uint16_t>(static_cast<const char*>(data) + 2 * i));
  }
  return v;
}

inline Vec LoadE4m3(const void* data) {
  Vec v{};
  for (int64_t i = 0; i < kLanes; ++i) {
    v.lane[i] = dsv::E4m3ToFloat(static_cast<const uint8_t*>(data)[i]);
  }
  return v;
}

inline Vec LoadE2m1(const void* data) {
  Vec v{};
  for (int64_t i = 0; i < kLanes; ++i) {
    const uint8_t byte = static_cast<const uint8_t*>(data)[i / 2];
    v.lane[i] = dsv::E2m1ToFloat(i % 2 == 0 ? byte & 15U : byte >> 4U);
  }
  return v;
}

}  // namespace
