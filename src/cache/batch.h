// The rows of one Forward call: the new tokens of several sessions, one after the other.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cache/session_state.h"

namespace dsv {

// Consecutive rows that belong to one session.
struct Segment {
  int64_t row = 0;       // first row of the batch
  int64_t rows = 0;      // >= 1
  int64_t position = 0;  // of the first row in its session
};

struct Batch {
  std::vector<Segment> segments;
  std::vector<int32_t> tokens;     // [rows], the input token ids
  std::vector<int64_t> positions;  // [rows]

  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
};

// The state of one layer for each segment of a batch.
using LayerStates = std::span<LayerState* const>;

}  // namespace dsv
