// Loops over the rows of a batch.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/context.h"

namespace dsv {

// Calls body(row) for every row in [0, rows), each of which touches about `width` elements: in
// pieces that are worth handing to a thread, and on the calling thread alone where all are not.
template <class Body>
void ForRows(const OpContext& context, int64_t rows, int64_t width, const Body& body) {
  constexpr int64_t kPieceElements = 1 << 14;
  const int64_t least = std::clamp<int64_t>(kPieceElements / std::max<int64_t>(width, 1), 1, 64);
  const int64_t pieces = (rows + least - 1) / least;
  context.pool.ParallelFor(pieces, [&](int64_t piece, int64_t) {
    const int64_t end = std::min(rows, (piece + 1) * least);
    for (int64_t row = piece * least; row < end; ++row) body(row);
  });
}

}  // namespace dsv
