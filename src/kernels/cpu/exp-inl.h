// The exponential function and what is made of it, over the lanes of simd_<isa>.h.
//
// Exp is within 0.8 ulp of the exact value, subnormal results too, 0 below -104,
// and infinite where the exact value rounds to infinity; a NaN stays a NaN.
#pragma once

#include "kernels/kernel_table.h"

namespace {

// e^v = 2^n e^r with n the nearest integer to v / ln 2, so |r| <= 0.3475. ln 2 = high - low, with
// `high` so short that n * high and v - n * high are exact. The polynomial interpolates (e^r - 1 -
// r) / r^2 at Chebyshev's nodes; its share of the error is 2^-26.5. What 1 + (v - n * high) rounds
// away is added with the small terms, so that one rounding remains that matters.
inline Vec Exp(Vec v) {
  v = Min(Broadcast(89.0F), Max(Broadcast(-104.0F), v));
  const Vec one = Broadcast(1.0F);
  const Vec magic = Broadcast(0x1.8p23F);
  const Vec n = Sub(MulAdd(v, Broadcast(0x1.715476p0F), magic), magic);
  const Vec high = MulAdd(n, Broadcast(-0x1.63p-1F), v);
  const Vec low = Mul(n, Broadcast(0x1.bd0106p-13F));
  const Vec r = Add(high, low);
  Vec p = MulAdd(Broadcast(0x1.6d1254p-10F), r, Broadcast(0x1.120cbap-7F));
  p = MulAdd(p, r, Broadcast(0x1.555518p-5F));
  p = MulAdd(p, r, Broadcast(0x1.5554dcp-3F));
  p = MulAdd(p, r, Broadcast(0.5F));
  p = MulAdd(Mul(r, r), p, low);
  const Vec sum = Add(one, high);
  const Vec lost = Sub(high, Sub(sum, one));
  return TimesPowerOfTwo(Add(sum, Add(lost, p)), n);
}

inline Vec Sigmoid(Vec v) {
  const Vec one = Broadcast(1.0F);
  return Div(one, Add(one, Exp(Sub(Zero(), v))));
}

// log(1 + e^v) = max(v, 0) + log(1 + e) with e = e^-|v| <= 1, and log(1 + e) = 2 artanh(e / (2 +
// e)), whose argument is at most 1/3. Above 20, where the specification says v, the second term is
// less than half an ulp of the first.
inline Vec Softplus(Vec v) {
  const Vec e = Exp(FloatOfBits(Or(BitsOf(v), BroadcastInt(INT32_MIN))));
  const Vec s = Div(e, Add(e, Broadcast(2.0F)));
  const Vec z = Mul(s, s);
  Vec p = MulAdd(Broadcast(0x1.dba26p-4F), z, Broadcast(0x1.bc8cf8p-4F));
  p = MulAdd(p, z, Broadcast(0x1.24c926p-3F));
  p = MulAdd(p, z, Broadcast(0x1.9998d4p-3F));
  p = MulAdd(p, z, Broadcast(0x1.555556p-2F));
  p = MulAdd(Mul(z, s), p, s);
  return Add(Relu(v), Add(p, p));
}

}  // namespace
