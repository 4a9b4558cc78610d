// A checkpoint directory: model.safetensors.index.json and its shards, memory-mapped (spec 2.1).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "io/checkpoint_index.h"
#include "io/safetensors.h"
#include "tensor/tensor_view.h"

namespace dsv {

// Immutable after Open; any thread may read it. Moving it keeps every view valid.
class Checkpoint {
 public:
  // Maps all shards that the index names, or the single file model.safetensors. Time and memory
  // grow with the headers only: no tensor data is read. Index and shards must agree.
  static Result<Checkpoint> Open(const std::filesystem::path& directory);
  // The bytes of one safetensors file in memory, which must outlive the object, as a checkpoint.
  static Result<Checkpoint> FromMemory(const std::string& name, std::span<const std::byte> file);

  const TensorView* Find(std::string_view name) const;  // null if absent
  // The tensor under this name if its dtype is none of DType; null otherwise.
  const UnsupportedTensor* FindUnsupported(std::string_view name) const;

  // The shard that holds a tensor, for messages; the directory if none does.
  std::string FileOf(std::string_view name) const;

  const std::filesystem::path& directory() const { return directory_; }
  int64_t size() const { return static_cast<int64_t>(tensors_.size()); }  // tensors, of any dtype
  const std::vector<SafetensorsFile>& shards() const { return shards_; }  // in the index's order

  // metadata.total_size of the index.
  std::optional<int64_t> declared_bytes() const { return declared_bytes_; }
  // Tensors that lie in a shard but that the index does not list; Find does not see them.
  const std::vector<std::string>& unlisted() const { return unlisted_; }

  // Calls visit(name, view, shard file name) for every tensor that Find can see, in unspecified but
  // stable order.
  template <class Visitor>
  void ForEach(Visitor&& visit) const {
    for (const SafetensorsFile& shard : shards_) {
      const std::string file = shard.path().filename().string();
      for (const NamedTensor& tensor : shard.tensors()) {
        if (unlisted_.empty() || Find(tensor.name) != nullptr)
          visit(tensor.name, tensor.view, file);
      }
    }
  }

 private:
  struct Location {
    size_t shard = 0;
    const TensorView* view = nullptr;  // one of the two is null
    const UnsupportedTensor* unsupported = nullptr;
    bool listed = false;  // in the index
  };

  explicit Checkpoint(std::filesystem::path directory) : directory_(std::move(directory)) {}
  Status OpenShard(const std::string& file_name);
  Status AddTensors();
  Status MatchIndex(const CheckpointIndex& index);
  std::string ShardName(size_t shard) const;

  std::filesystem::path directory_;
  std::vector<SafetensorsFile> shards_;
  std::unordered_map<std::string_view, Location> tensors_;  // points into shards_
  std::optional<int64_t> declared_bytes_;
  std::vector<std::string> unlisted_;
};

}  // namespace dsv
