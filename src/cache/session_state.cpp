#include "cache/session_state.h"

namespace dsv {

int64_t LayerState::Bytes() const {
  int64_t bytes = window.Bytes() + open.Bytes() + index_open.Bytes();
  if (rows) bytes += rows->Bytes();
  if (keys) bytes += keys->Bytes();
  return bytes;
}

int64_t SessionState::Bytes() const {
  int64_t bytes = 0;
  for (const LayerState& layer : layers) bytes += layer.Bytes();
  if (mtp) bytes += mtp->layer.Bytes() + static_cast<int64_t>(mtp->streams.size() * sizeof(float));
  return bytes;
}

}  // namespace dsv
