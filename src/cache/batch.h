// The rows of one Forward call: the new tokens of several sessions, one after the other.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "cache/session_state.h"
#include "kernels/rope.h"

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

  // The angles of all positions, formed at the first call for a table of frequencies: every layer
  // with this table uses them. Called by the thread that runs the pass.
  const RopeAngles& AnglesOf(const std::vector<float>& frequencies) const {
    const auto [entry, is_new] = angles.try_emplace(&frequencies);
    if (is_new) {
      entry->second = RopeAngles(static_cast<int64_t>(frequencies.size()), rows());
      for (int64_t i = 0; i < rows(); ++i) {
        entry->second.Set(frequencies, positions[static_cast<size_t>(i)], i);
      }
    }
    return entry->second;
  }

  mutable std::map<const std::vector<float>*, RopeAngles> angles = {};
};

// The state of one layer for each segment of a batch.
using LayerStates = std::span<LayerState* const>;

}  // namespace dsv
