// Views of stored weight matrices. This header is part of the files that are compiled for one
// instruction set, so it uses nothing of the standard library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dsv {

// How the elements of a weight matrix are stored (spec 2.3, 2.4, 2.7).
enum class MatrixFormat : uint8_t {
  kF32,
  kBF16,
  kFp8E8M0,  // E4M3 with one E8M0 scale per 128 x 128 block
  kFp8F32,   // E4M3 with one F32 scale per 128 x 128 block (Base models)
  kFp4E8M0,  // packed E2M1 with one E8M0 scale per row and 32 consecutive inputs
};

inline constexpr int64_t kFp8Block = 128;
inline constexpr int64_t kFp4Block = 32;

// A weight matrix [out, in], y = W x. `scale` is null for kF32 and kBF16; otherwise it is
// [ceil(out/128), ceil(in/128)] or, for kFp4E8M0, [out, in/32], row-major like `data`.
struct MatrixView {
  MatrixFormat format = MatrixFormat::kF32;
  int64_t out = 0;
  int64_t in = 0;
  const std::byte* data = nullptr;
  const std::byte* scale = nullptr;
};

}  // namespace dsv
