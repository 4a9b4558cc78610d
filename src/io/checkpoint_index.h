// model.safetensors.index.json: which shard holds which tensor (spec 2.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace dsv {

struct CheckpointIndex {
  struct Entry {
    std::string name;
    size_t shard = 0;  // into `shards`
  };
  std::vector<std::string> shards;  // file names, in the order of their first mention
  std::vector<Entry> weight_map;    // in file order; a name may still occur twice
  std::optional<int64_t> total_size;
};

// `source` names the text in the error. Refuses shard names that are not plain file names.
Result<CheckpointIndex> ParseCheckpointIndex(std::string_view json, const std::string& source);

}  // namespace dsv
