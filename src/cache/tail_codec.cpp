#include "cache/tail_codec.h"

#include <cstring>

namespace dsv {
namespace {

class Writer {
 public:
  template <class T>
  void Put(std::span<const T> values) {
    const auto count = static_cast<uint64_t>(values.size());
    Raw(&count, sizeof count);
    Raw(values.data(), values.size_bytes());
  }
  void Put(const OpenGroup& group) {
    Put(std::span<const int64_t>(&group.first_position, 1));
    Put(std::span<const float>(group.kv));
    Put(std::span<const float>(group.gate));
  }
  void Put(const LayerState& layer) {
    Put(layer.window.stored());
    Put(layer.open);
    Put(layer.index_open);
  }
  std::vector<std::byte> Take() { return std::move(bytes_); }

 private:
  void Raw(const void* data, size_t size) {
    const auto* begin = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), begin, begin + size);
  }

  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  Status Get(std::vector<T>& values) {
    uint64_t count = 0;
    if (!Raw(&count, sizeof count) || count > bytes_.size() / sizeof(T)) return Cut();
    values.resize(static_cast<size_t>(count));
    Raw(values.data(), values.size() * sizeof(T));
    return {};
  }
  Status Get(OpenGroup& group) {
    std::vector<int64_t> position;
    DSV_TRY(Get(position));
    if (position.size() != 1) return Cut();
    group.first_position = position.front();
    DSV_TRY(Get(group.kv));
    return Get(group.gate);
  }
  Status Get(LayerState& layer) {
    std::vector<std::byte> window;
    DSV_TRY(Get(window));
    if (window.size() != layer.window.stored().size()) {
      return Fail("tail: expected a window of {} bytes, found {}", layer.window.stored().size(),
                  window.size());
    }
    std::memcpy(layer.window.stored().data(), window.data(), window.size());
    DSV_TRY(Get(layer.open));
    return Get(layer.index_open);
  }
  Status End() const {
    if (bytes_.empty()) return {};
    return Fail("tail: expected its end, found {} more bytes", bytes_.size());
  }

 private:
  static Status Cut() { return Fail("tail: expected more bytes, found its end"); }
  bool Raw(void* data, size_t size) {
    if (size > bytes_.size()) return false;
    if (size > 0) std::memcpy(data, bytes_.data(), size);  // an empty vector has no data
    bytes_ = bytes_.subspan(size);
    return true;
  }

  std::span<const std::byte> bytes_;
};

}  // namespace

std::vector<std::byte> EncodeTail(const SessionState& state) {
  Writer writer;
  writer.Put(state.blocks->filling());
  for (const LayerState& layer : state.layers) writer.Put(layer);
  if (state.mtp) {
    writer.Put(state.mtp->layer);
    writer.Put(std::span<const float>(state.mtp->streams));
  }
  return writer.Take();
}

Status DecodeTail(std::span<const std::byte> bytes, std::span<const int32_t> rest,
                  SessionState& state) {
  Reader reader(bytes);
  std::vector<std::byte> filling;
  DSV_TRY(reader.Get(filling));
  if (!filling.empty() && std::ssize(filling) != state.blocks->block_bytes()) {
    return Fail("tail: expected a block of {} bytes, found {}", state.blocks->block_bytes(),
                filling.size());
  }
  state.blocks->Resume(rest, filling);
  for (LayerState& layer : state.layers) {
    DSV_TRY(reader.Get(layer));
    if (layer.rows) layer.rows->Resume(state.tokens());
    if (layer.keys) layer.keys->Resume(state.tokens());
  }
  if (state.mtp) {
    DSV_TRY(reader.Get(state.mtp->layer));
    DSV_TRY(reader.Get(state.mtp->streams));
  }
  return reader.End();
}

}  // namespace dsv
