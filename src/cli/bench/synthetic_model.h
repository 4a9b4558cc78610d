// A model of DeepSeek-V4 Flash's exact shapes with few layers and random weights, made in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "base/thread_pool.h"
#include "checkpoint/config.h"
#include "cli/bench/huge_buffer.h"
#include "io/checkpoint.h"
#include "model/transformer.h"

namespace dsv::cli {

// The first layers are SWA, CSA, HCA, CSA, HCA, ...; all route by score.
struct SyntheticShape {
  int64_t layers = 4;
  int64_t experts = 256;
  int64_t vocabulary = 129280;
};
ModelConfig SyntheticConfig(const SyntheticShape& shape);

// The image of a safetensors file as the release stores it: FP8 with E8M0 scales, FP4 experts.
// Values are random and of a size that keeps activations near 1; every byte is valid.
class SyntheticModel {
 public:
  static Result<SyntheticModel> Make(const ModelConfig& config, ThreadPool& pool);

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const Transformer& transformer() const { return *transformer_; }
  const ModelConfig& config() const { return transformer_->config(); }

 private:
  HugeBuffer image_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Transformer> transformer_;
};

// Random bytes for `count` index keys or main rows as the cache packs them (584 and 68 bytes for
// Flash): `width` components, the last `rotated` of a main row bf16.
void FillMainRows(uint64_t seed, int64_t count, int64_t width, int64_t rotated, std::byte* rows);
void FillIndexKeys(uint64_t seed, int64_t count, int64_t width, std::byte* keys);

// The state of a session of `tokens` tokens, a multiple of 128, with random rows, ready to go on.
SessionState SyntheticState(const ModelConfig& config, int64_t tokens, ThreadPool& pool);

}  // namespace dsv::cli
