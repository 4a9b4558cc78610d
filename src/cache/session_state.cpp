#include "cache/session_state.h"

#include <utility>

namespace dsv {

int64_t LayerState::TailBytes() const {
  return std::ssize(window.stored()) + open.Bytes() + index_open.Bytes();
}

SessionState SessionState::Copy() const {
  SessionState copy;
  copy.blocks = std::make_unique<RowBlocks>(blocks->Copy());
  copy.layers = layers;
  for (LayerState& layer : copy.layers) {
    if (layer.rows) layer.rows = layer.rows->In(*copy.blocks);
    if (layer.keys) layer.keys = layer.keys->In(*copy.blocks);
  }
  copy.mtp = mtp;
  return copy;
}

int64_t SessionState::TailBytes() const {
  int64_t bytes = 0;
  for (const LayerState& layer : layers) bytes += layer.TailBytes();
  if (mtp) {
    bytes += mtp->layer.TailBytes() + static_cast<int64_t>(mtp->streams.size() * sizeof(float));
  }
  return bytes;
}

SessionState EmptyState(const ModelConfig& config, Precision precision, bool mtp,
                        std::shared_ptr<BlockCount> held) {
  const BlockLayout layout(config, precision);
  const RowFormat format = RowFormat::Main(precision, config.head_dim, config.qk_rope_head_dim);
  const LayerState empty{WindowRing(config.sliding_window, format), {}, {}, {}, {}};
  SessionState state;
  state.blocks = std::make_unique<RowBlocks>(layout.bytes(), std::move(held));
  for (size_t i = 0; i < config.layers.size(); ++i) {
    state.layers.push_back(empty);
    if (layout.rows[i]) state.layers[i].rows.emplace(*state.blocks, *layout.rows[i]);
    if (layout.keys[i]) state.layers[i].keys.emplace(*state.blocks, *layout.keys[i]);
  }
  if (mtp) state.mtp.emplace(MtpState{empty, {}});
  return state;
}

int64_t MaxTailBytes(const ModelConfig& config, Precision precision, bool mtp) {
  constexpr int64_t kPair = 2 * sizeof(float);  // kappa and gamma
  int64_t bytes = EmptyState(config, precision, mtp).TailBytes();
  for (const LayerKind kind : config.layers) {
    // CSA keeps two groups of rows that are twice as wide, HCA one group.
    if (kind == LayerKind::kCsa) {
      bytes += 2 * CompressRatio(kind) * 2 * (config.head_dim + config.index_head_dim) * kPair;
    } else if (kind == LayerKind::kHca) {
      bytes += CompressRatio(kind) * config.head_dim * kPair;
    }
  }
  const int64_t streams = config.hc_mult * config.hidden_size;
  return bytes + (mtp ? streams * static_cast<int64_t>(sizeof(float)) : 0);
}

}  // namespace dsv
