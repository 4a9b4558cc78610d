#include "cache/session_state.h"

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

}  // namespace dsv
