// Attention of the queries of one segment (spec 3.9, 4.4, 4.7, 4.8): softmax over the window rows
// and the compressed rows that each query sees, with a sink.
#pragma once

#include <cstdint>
#include <vector>

#include "cache/batch.h"
#include "checkpoint/config.h"
#include "kernels/context.h"

namespace dsv {

struct AttendJob {
  const ModelConfig& config;
  LayerKind kind;
  const LayerState& state;   // as it was before the segment, but for its compressed rows
  int64_t position;          // of the first query
  int64_t queries;           // consecutive
  const float* q;            // [queries, heads, head_dim]
  const float* window_rows;  // [queries, head_dim], of the queries' own positions
  const float* sink;         // [heads]
  const std::vector<int64_t>* selected;  // of each query, ascending; CSA
  float* out;                            // [queries, heads, head_dim]
};

void Attend(const OpContext& context, const AttendJob& job);

// The most that Attend allocates for a segment of `rows` queries, in floats.
int64_t AttendFloats(const ModelConfig& config, int64_t rows, int64_t threads);

}  // namespace dsv
