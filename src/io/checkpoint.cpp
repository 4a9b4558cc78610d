#include "io/checkpoint.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "io/checkpoint_index.h"
#include "io/mapped_file.h"

namespace dsv {
namespace {

constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr const char* kSingleFile = "model.safetensors";

}  // namespace

Status Checkpoint::OpenShard(const std::string& file_name) {
  DSV_ASSIGN(SafetensorsFile shard, SafetensorsFile::Open(directory_ / file_name));
  shards_.push_back(std::move(shard));
  return {};
}

Status Checkpoint::AddTensors() {
  size_t count = 0;
  for (const SafetensorsFile& shard : shards_) count += shard.tensors().size();
  tensors_.reserve(count);
  for (size_t i = 0; i < shards_.size(); ++i) {
    const auto add = [&](std::string_view name, Location location) -> Status {
      const auto [it, is_new] = tensors_.try_emplace(name, location);
      if (is_new) return {};
      return Fail("{}: tensor {} occurs in shard {} and in shard {}", directory_.string(), name,
                  ShardName(it->second.shard), ShardName(i));
    };
    for (const NamedTensor& tensor : shards_[i].tensors()) {
      DSV_TRY(add(tensor.name, {i, &tensor.view, nullptr}));
    }
    for (const UnsupportedTensor& tensor : shards_[i].unsupported()) {
      DSV_TRY(add(tensor.name, {i, nullptr, &tensor}));
    }
  }
  return {};
}

Status Checkpoint::MatchIndex(const CheckpointIndex& index) {
  const std::string source = (directory_ / kIndexFile).string();
  for (const CheckpointIndex::Entry& entry : index.weight_map) {
    const auto it = tensors_.find(entry.name);
    if (it == tensors_.end()) {
      return Fail("{}: tensor {} is not in its shard {}", source, entry.name,
                  index.shards[entry.shard]);
    }
    if (it->second.shard != entry.shard) {
      return Fail("{}: tensor {} should be in shard {} but is in {}", source, entry.name,
                  index.shards[entry.shard], ShardName(it->second.shard));
    }
    if (std::exchange(it->second.listed, true)) {
      return Fail("{}: tensor {} is listed twice", source, entry.name);
    }
  }
  if (tensors_.size() == index.weight_map.size()) return {};
  for (auto it = tensors_.begin(); it != tensors_.end();) {
    if (it->second.listed) {
      ++it;
    } else {
      unlisted_.emplace_back(it->first);
      it = tensors_.erase(it);
    }
  }
  std::sort(unlisted_.begin(), unlisted_.end());
  return {};
}

Result<Checkpoint> Checkpoint::Open(const std::filesystem::path& directory) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    return Fail("{}: not a directory with a checkpoint", directory.string());
  }
  Checkpoint checkpoint(directory);
  const std::filesystem::path index_path = directory / kIndexFile;
  if (!std::filesystem::exists(index_path, error)) {
    if (!std::filesystem::exists(directory / kSingleFile, error)) {
      return Fail("{}: neither {} nor {} is here", directory.string(), kIndexFile, kSingleFile);
    }
    DSV_TRY(checkpoint.OpenShard(kSingleFile));
    DSV_TRY(checkpoint.AddTensors());
    return checkpoint;
  }
  DSV_ASSIGN(const MappedFile file, MappedFile::Open(index_path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  DSV_ASSIGN(const CheckpointIndex index, ParseCheckpointIndex(text, index_path.string()));
  checkpoint.shards_.reserve(index.shards.size());
  for (const std::string& shard : index.shards) DSV_TRY(checkpoint.OpenShard(shard));
  DSV_TRY(checkpoint.AddTensors());
  DSV_TRY(checkpoint.MatchIndex(index));
  checkpoint.declared_bytes_ = index.total_size;
  return checkpoint;
}

Result<Checkpoint> Checkpoint::FromMemory(const std::string& name,
                                          std::span<const std::byte> file) {
  DSV_ASSIGN(SafetensorsFile shard, SafetensorsFile::FromMemory(name, file));
  Checkpoint checkpoint(name);
  checkpoint.shards_.push_back(std::move(shard));
  DSV_TRY(checkpoint.AddTensors());
  return checkpoint;
}

const TensorView* Checkpoint::Find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : it->second.view;
}

const UnsupportedTensor* Checkpoint::FindUnsupported(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : it->second.unsupported;
}

std::string Checkpoint::FileOf(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? directory_.string() : shards_[it->second.shard].path().string();
}

std::string Checkpoint::ShardName(size_t shard) const {
  return shards_[shard].path().filename().string();
}

}  // namespace dsv
