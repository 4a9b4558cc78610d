// Projection of the stream-mixing matrix towards doubly stochastic (spec 4.3 step 5).
#pragma once

#include <cstdint>

namespace dsv {

// In place on a[n, n]: softmax of every row plus eps, a column step, then iterations - 1 times a
// row step and a column step. The number of iterations is fixed; it does not iterate to
// convergence.
void Sinkhorn(float* a, int64_t n, int64_t iterations, double eps);

}  // namespace dsv
