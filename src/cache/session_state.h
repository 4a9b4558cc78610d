// Everything that one session remembers (spec 6.1): rows that grow with the context, and a tail of
// constant size.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cache/row_blocks.h"
#include "cache/window_ring.h"

namespace dsv {

// Inputs of compressed rows that are still to be formed: kappa and gamma (with its position term)
// of the open group and, for overlapping groups (m = 4), of the group before it.
struct OpenGroup {
  int64_t first_position = 0;  // of the first row below
  std::vector<float> kv;       // [rows, width]
  std::vector<float> gate;     // [rows, width]

  int64_t Bytes() const {
    return static_cast<int64_t>((kv.capacity() + gate.capacity()) * sizeof(float));
  }
};

struct LayerState {
  WindowRing window;
  std::optional<RowStore> rows;  // CSA, HCA
  std::optional<RowStore> keys;  // CSA
  OpenGroup open;                // CSA, HCA
  OpenGroup index_open;          // CSA

  int64_t TailBytes() const;
};

struct MtpState {
  LayerState layer;
  std::vector<float> streams;  // [n, d]: the main model's streams of the last position
};

struct SessionState {
  std::unique_ptr<RowBlocks> blocks;  // on the heap, because the row stores point at it
  std::vector<LayerState> layers;
  std::optional<MtpState> mtp;  // only in sessions that want MTP logits

  int64_t tokens() const { return blocks->tokens(); }  // processed so far
  // The same state for another session: O(tail), rows of full blocks are shared.
  SessionState Copy() const;
  int64_t TailBytes() const;  // allocated, besides the blocks
  int64_t Bytes() const { return blocks->Bytes() + TailBytes(); }
};

// The state of a session of no tokens. `held` counts the bytes of its blocks.
SessionState EmptyState(const ModelConfig& config, Precision precision, bool mtp,
                        std::shared_ptr<BlockCount> held = nullptr);

// The most that a state holds besides its blocks.
int64_t MaxTailBytes(const ModelConfig& config, Precision precision, bool mtp);

}  // namespace dsv
