// Checkpoints of full size without their data: real config, index and headers, and data sections
// that are holes in sparse files.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights_table.h"
#include "io/safetensors.h"

namespace dsv::testing {

// The shard of a tensor in the published checkpoints (spec 2.1), from 1.
inline int64_t PublishedShard(const std::string& name, int64_t layers) {
  if (name.rfind("layers.", 0) == 0) return std::stoll(name.substr(7)) + 2;
  if (name.rfind("mtp.", 0) == 0) return layers + 3 + std::stoll(name.substr(4));
  return name == "embed.weight" ? 1 : layers + 2;
}

// Writes the shards and the index under `directory`. Fails the test where files cannot be sparse.
inline void WriteSparseCheckpoint(const std::filesystem::path& directory, const ModelConfig& config,
                                  const std::vector<SafetensorsWriter::Entry>& tensors) {
  std::map<int64_t, std::vector<SafetensorsWriter::Entry>> shards;
  for (const auto& tensor : tensors) {
    shards[PublishedShard(tensor.name, config.num_hidden_layers)].push_back(tensor);
  }
  int64_t total = 0;
  std::string weight_map;
  for (const auto& [number, entries] : shards) {
    const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", number, shards.size());
    const std::string prefix = SafetensorsPrefix(entries);
    std::ofstream(directory / file, std::ios::binary) << prefix;
    int64_t bytes = 0;
    for (const auto& entry : entries) {
      bytes += TensorView{entry.dtype, entry.shape, nullptr}.Bytes();
      weight_map +=
          fmt::format("{}\n    \"{}\": \"{}\"", weight_map.empty() ? "" : ",", entry.name, file);
    }
    total += bytes;
    std::error_code error;
    std::filesystem::resize_file(directory / file, prefix.size() + static_cast<uint64_t>(bytes),
                                 error);
    ASSERT_FALSE(error) << directory / file << ": cannot make a sparse file of " << bytes
                        << " bytes here: " << error.message();
    struct stat status = {};
    ASSERT_EQ(stat((directory / file).c_str(), &status), 0);
    ASSERT_LT(status.st_blocks * 512, static_cast<int64_t>(prefix.size()) + (1 << 20))
        << directory / file << ": the file system has no sparse files";
  }
  std::ofstream(directory / "model.safetensors.index.json") << fmt::format(
      "{{\n  \"metadata\": {{\"total_size\": {}}},\n  \"weight_map\": {{{}\n  }}\n}}\n", total,
      weight_map);
}

}  // namespace dsv::testing
