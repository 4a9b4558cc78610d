#include "kernels/hadamard.h"

namespace dsv {

void Hadamard(const OpContext& context, float* x, int64_t n) {
  context.kernels.rows.hadamard(x, n, context.reference());
}

}  // namespace dsv
