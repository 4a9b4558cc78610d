// What a model costs: parameters, weight traffic, bytes of cache and FLOPs per token, beside
// DeepSeek-V3.2's (spec section 12).
#pragma once

#include <cstdint>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "io/checkpoint.h"

namespace dsv {

// Logical weights: a packed FP4 byte counts twice, scales and the routing tables not at all.
struct ParameterCount {
  int64_t main = 0;    // without the draft
  int64_t draft = 0;   // MTP or DSpark
  int64_t active = 0;  // multiplied per token by the main model (the P of spec 12.4)
  int64_t Total() const { return main + draft; }
};
ParameterCount CountParameters(const ModelConfig& config, DraftKind draft);

// Stored bytes that one decoded token reads from the weights of the main model at batch 1.
struct WeightTraffic {
  int64_t routed_experts = 0;
  int64_t other = 0;  // one row of the embedding and of the routing tables, all of the rest
  int64_t Total() const { return routed_experts + other; }
};
WeightTraffic CountWeightTraffic(const ModelConfig& config, const Checkpoint& checkpoint);

// How cache rows are stored (spec 12.1).
enum class KvFormat : uint8_t {
  kPacked,         // rows FP8 + BF16, index keys FP4: 584 and 68 bytes
  kPackedFp8Keys,  // index keys FP8: 132 bytes
  kBf16,           // 1024 and 256 bytes
};
int64_t KvRowBytes(const ModelConfig& config, KvFormat format);
int64_t IndexKeyBytes(const ModelConfig& config, KvFormat format);

// Cache of the main layers after `tokens` tokens, compressor state not included (spec 12.2).
int64_t KvBytes(const ModelConfig& config, KvFormat format, int64_t tokens);

// State that does not grow with the context (spec 12.3), of the main layers.
int64_t WindowBytes(const ModelConfig& config, KvFormat format);
int64_t CompressorBufferBytes(const ModelConfig& config);  // the reference's F32 buffers
int64_t CompressorStateBytes(const ModelConfig& config, int64_t tokens);  // their live content
// Live content and the window rows that a continuation can still see.
int64_t SnapshotBytes(const ModelConfig& config, KvFormat format, int64_t tokens);

// Per decoded token with `tokens` tokens in the context; a multiply-add counts 2 (spec 12.4).
// `active_parameters` as CountParameters gives them.
struct FlopCount {
  int64_t linear = 0;
  int64_t csa = 0;
  int64_t hca = 0;
  int64_t swa = 0;
  int64_t indexer = 0;
  int64_t Total() const { return linear + csa + hca + swa + indexer; }
};
FlopCount CountFlops(const ModelConfig& config, int64_t active_parameters, int64_t tokens);

// The same for DeepSeek-V3.2, whose layout is the yardstick; kPackedFp8Keys equals kPacked.
inline constexpr int64_t kV32Layers = 61;
int64_t V32KvBytes(KvFormat format, int64_t tokens, int64_t layers = kV32Layers);
struct V32FlopCount {
  int64_t linear = 0;
  int64_t attention = 0;
  int64_t indexer = 0;
  int64_t Total() const { return linear + attention + indexer; }
};
V32FlopCount CountV32Flops(int64_t tokens);

}  // namespace dsv
