// The operators of the specification written as plainly as they are stated there: the oracle that
// the kernels are tested against. Header-only; never optimised.
//
// T is double or, for gradients by a complex step, std::complex<double>. The rounding points are
// not part of the operators: they are the functions on doubles at the end (sections 3.2 to 3.6).
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace dsv::reference {

template <class T>
using Vector = std::vector<T>;
template <class T>
using Matrix = std::vector<std::vector<T>>;

// The real part decides comparisons, so that a complex step follows the branch of its base point.
inline double Real(double x) { return x; }
inline double Real(const std::complex<double>& x) { return x.real(); }

template <class T>
T Dot(const Vector<T>& a, const Vector<T>& b) {
  T sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// y = W x
template <class T>
Vector<T> MatVec(const Matrix<T>& w, const Vector<T>& x) {
  Vector<T> y;
  for (const Vector<T>& row : w) y.push_back(Dot(row, x));
  return y;
}

template <class T>
Vector<T> Softmax(const Vector<T>& logits) {
  double max = -std::numeric_limits<double>::infinity();
  for (const T& l : logits) max = std::max(max, Real(l));
  Vector<T> p;
  T sum = 0;
  for (const T& l : logits) {
    p.push_back(std::exp(l - max));
    sum += p.back();
  }
  for (T& value : p) value /= sum;
  return p;
}

// Section 3.1. Without a weight: the f32 form of the query head norm (4.4).
template <class T>
Vector<T> RmsNorm(Vector<T> x, double eps, const Vector<T>* weight = nullptr) {
  const T mean = Dot(x, x) / static_cast<double>(x.size());
  const T rho = 1.0 / std::sqrt(mean + eps);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= weight == nullptr ? rho : rho * (*weight)[i];
  return x;
}

// Section 3.8: rotates the last 2 * angles.size() components by pairs.
template <class T>
Vector<T> Rope(Vector<T> x, const Vector<double>& angles, bool inverse = false) {
  const size_t first = x.size() - 2 * angles.size();
  for (size_t i = 0; i < angles.size(); ++i) {
    const double c = std::cos(angles[i]);
    const double s = inverse ? -std::sin(angles[i]) : std::sin(angles[i]);
    const T a = x[first + 2 * i];
    const T b = x[first + 2 * i + 1];
    x[first + 2 * i] = a * c - b * s;
    x[first + 2 * i + 1] = a * s + b * c;
  }
  return x;
}

// Section 3.7, by its definition.
template <class T>
Vector<T> Hadamard(const Vector<T>& x) {
  Vector<T> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = 0; j < x.size(); ++j) {
      int bits = 0;
      for (size_t both = i & j; both != 0; both >>= 1U) bits += static_cast<int>(both & 1U);
      y[i] += bits % 2 == 0 ? x[j] : -x[j];
    }
    y[i] /= std::sqrt(static_cast<double>(x.size()));
  }
  return y;
}

// Section 3.9 without rounding points: rows are key and value; one output per head.
template <class T>
Matrix<T> SparseAttention(const Matrix<T>& q, const Matrix<T>& rows, const Vector<T>& sink) {
  Matrix<T> out;
  for (size_t h = 0; h < q.size(); ++h) {
    // A sink is one more logit whose value is the zero vector.
    Vector<T> logits;
    for (const Vector<T>& row : rows) {
      logits.push_back(Dot(q[h], row) / std::sqrt(static_cast<double>(row.size())));
    }
    logits.push_back(sink[h]);
    const Vector<T> p = Softmax(logits);
    Vector<T> sum(q[h].size());
    for (size_t r = 0; r < rows.size(); ++r) {
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += p[r] * rows[r][i];
    }
    out.push_back(sum);
  }
  return out;
}

// Section 4.3 step 5.
template <class T>
Matrix<T> Sinkhorn(Matrix<T> a, int64_t iterations, double eps) {
  const size_t n = a.size();
  const auto normalize_rows = [&] {
    for (Vector<T>& row : a) {
      const T sum = std::accumulate(row.begin(), row.end(), T{});
      for (T& value : row) value /= sum + eps;
    }
  };
  const auto normalize_columns = [&] {
    for (size_t k = 0; k < n; ++k) {
      T sum = 0;
      for (size_t j = 0; j < n; ++j) sum += a[j][k];
      for (size_t j = 0; j < n; ++j) a[j][k] /= sum + eps;
    }
  };
  for (Vector<T>& row : a) {
    row = Softmax(row);
    for (T& value : row) value += eps;
  }
  normalize_columns();
  for (int64_t i = 1; i < iterations; ++i) {
    normalize_rows();
    normalize_columns();
  }
  return a;
}

// Section 4.9: (g sigmoid(g)) u times the route weight, g clamped from above, u from both sides.
template <class T>
T SwiGlu(T g, T u, double limit, T route_weight) {
  if (Real(g) > limit) g = limit;
  if (std::fabs(Real(u)) > limit) u = std::copysign(limit, Real(u));
  return g / (1.0 + std::exp(-g)) * u * route_weight;
}

// Section 4.8: the sum of what the heads add to a score, in float and in the order that
// kernels/index_kernels.h defines.
inline float SumOfHeads(const std::vector<float>& parts) {
  float score = 0;
  for (size_t first = 0; first < parts.size(); first += 32) {
    float sums[2] = {0, 0};
    for (size_t h = first; h < std::min(first + 32, parts.size()); ++h) sums[h % 2] += parts[h];
    score += sums[0] + sums[1];
  }
  return score;
}

// Indices of the k largest, ascending; ties to the lower index, NaN below every number.
inline std::vector<int64_t> TopK(const std::vector<float>& scores, int64_t k) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const float x = scores[static_cast<size_t>(a)];
    const float y = scores[static_cast<size_t>(b)];
    return std::isnan(y) ? !std::isnan(x) : x > y;
  });
  order.resize(std::min(order.size(), static_cast<size_t>(k)));
  std::sort(order.begin(), order.end());
  return order;
}

// ---- Number formats (sections 3.2 to 3.6): exact, on doubles ----

// Values of stored bytes (section 2.4), by their definitions.
inline double E4m3Value(uint8_t byte) {
  const int exponent = byte >> 3U & 15U;
  const int mantissa = byte & 7U;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<double>::quiet_NaN();
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return (byte & 0x80U) != 0 ? -magnitude : magnitude;
}
inline double E2m1Value(uint8_t code) {
  const int exponent = code >> 1U & 3U;
  const int mantissa = code & 1U;
  const double magnitude = exponent == 0 ? mantissa * 0.5 : std::ldexp(2 + mantissa, exponent - 2);
  return (code & 8U) != 0 ? -magnitude : magnitude;
}
inline double E8m0Value(uint8_t byte) {
  return byte == 255 ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, byte - 127);
}

// Rounds to a binary format with `bits` mantissa bits and smallest normal exponent `min_exponent`:
// nearest, ties to even, subnormals kept. No upper bound.
inline double RoundToFormat(double x, int bits, int min_exponent) {
  if (x == 0 || !std::isfinite(x)) return x;
  const int exponent = std::max(std::ilogb(x), min_exponent);
  const double step = std::ldexp(1.0, exponent - bits);
  const double scaled = x / step;
  double rounded = std::floor(scaled);
  const double rest = scaled - rounded;
  if (rest > 0.5 || (rest == 0.5 && std::fmod(rounded, 2.0) != 0)) rounded += 1;
  return std::copysign(rounded * step, x);
}

inline double RoundBf16(double x) { return RoundToFormat(x, 7, -126); }
inline double RoundE4m3(double x) { return RoundToFormat(std::clamp(x, -448.0, 448.0), 3, -6); }
inline double RoundE2m1(double x) { return RoundToFormat(std::clamp(x, -6.0, 6.0), 1, 0); }

// 2^ceil(log2(max / format_max)), with the floor of the block maximum applied first.
inline double BlockScale(const double* x, int64_t n, double floor, double format_max) {
  double max = floor;
  for (int64_t i = 0; i < n; ++i) max = std::max(max, std::fabs(x[i]));
  double scale = std::ldexp(1.0, std::ilogb(max / format_max));
  // Products are exact, so the comparison is too.
  while (scale * format_max < max) scale *= 2;
  while (scale / 2 * format_max >= max) scale /= 2;
  return scale;
}

inline double Fp8Scale(const double* x, int64_t n) { return BlockScale(x, n, 1e-4F, 448); }
inline double Fp4Scale(const double* x, int64_t n) {
  return BlockScale(x, n, std::ldexp(6.0, -126), 6);
}

// Sections 3.2 (block 128), 3.5 (block 64) and 3.6 (block 32): values after quantisation.
inline Vector<double> SimulateFp8(Vector<double> x, int64_t block) {
  for (size_t i = 0; i < x.size(); i += static_cast<size_t>(block)) {
    const auto n = std::min<int64_t>(block, static_cast<int64_t>(x.size() - i));
    const double s = Fp8Scale(x.data() + i, n);
    for (int64_t j = 0; j < n; ++j) {
      double& value = x[i + static_cast<size_t>(j)];
      value = RoundE4m3(value / s) * s;
    }
  }
  return x;
}
inline Vector<double> SimulateFp4(Vector<double> x, int64_t block) {
  for (size_t i = 0; i < x.size(); i += static_cast<size_t>(block)) {
    const auto n = std::min<int64_t>(block, static_cast<int64_t>(x.size() - i));
    const double s = Fp4Scale(x.data() + i, n);
    for (int64_t j = 0; j < n; ++j) {
      double& value = x[i + static_cast<size_t>(j)];
      value = RoundE2m1(value / s) * s;
    }
  }
  return x;
}

}  // namespace dsv::reference
