// Views of stored tensors. They own nothing and are valid while the Checkpoint that they came from
// is. The bytes of a safetensors file have no alignment, so elements are read through memcpy or
// unaligned loads, never through a typed pointer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/matrix_view.h"

namespace dsv {

struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;

  int64_t Elements() const {
    int64_t n = 1;
    for (int64_t dim : shape) n *= dim;
    return n;
  }
  int64_t Bytes() const { return Elements() * DTypeSize(dtype); }
};

// A vector of F32 or BF16 elements: norm weights, biases, sinks, position terms.
struct VectorView {
  DType dtype = DType::kF32;
  int64_t size = 0;
  const std::byte* data = nullptr;
};

}  // namespace dsv
