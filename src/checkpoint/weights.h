// The weights of a model as views into its checkpoint, bound by name through one table
// (spec 2.3). Nothing is copied; the Checkpoint must outlive the weights.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/config.h"
#include "io/checkpoint.h"
#include "tensor/tensor_view.h"

namespace dsv {

// Mixing of the residual streams around one sub-layer (spec 4.3), or before the head (4.10).
struct HyperConnectionWeights {
  MatrixView fn;     // [24, 4d]; head: [4, 4d]
  VectorView base;   // [24]; head: [4]
  VectorView scale;  // [3]; head: [1]
};

struct CompressorWeights {
  MatrixView ape;    // F32 [m, q*D], q = 2 for m = 4
  MatrixView wkv;    // [q*D, d]
  MatrixView wgate;  // [q*D, d]
  VectorView norm;   // [D]
};

struct IndexerWeights {
  MatrixView wq_b;          // [Hi*ci, r]
  MatrixView weights_proj;  // [Hi, d]
  CompressorWeights compressor;
};

struct AttentionWeights {
  VectorView attn_sink;                         // F32 [H]
  VectorView q_norm;                            // [r]
  VectorView kv_norm;                           // [c]
  MatrixView wq_a;                              // [r, d]
  MatrixView wq_b;                              // [H*c, r]
  MatrixView wkv;                               // [c, d]
  MatrixView wo_a;                              // [G*o, H*c/G]
  MatrixView wo_b;                              // [d, G*o]
  std::optional<CompressorWeights> compressor;  // CSA, HCA
  std::optional<IndexerWeights> indexer;        // CSA
};

struct ExpertWeights {
  MatrixView w1;  // gate projection [I, d]
  MatrixView w2;  // down projection [d, I]
  MatrixView w3;  // up projection [I, d]
};

struct MoeWeights {
  MatrixView gate;                     // [E, d]
  std::optional<VectorView> bias;      // F32 [E]: score routing
  const std::byte* tid2eid = nullptr;  // I64 [V, K]: hash routing
  std::vector<ExpertWeights> experts;  // [E]
  ExpertWeights shared_experts;
};

struct LayerWeights {
  LayerKind kind = LayerKind::kSwa;
  VectorView attn_norm;  // [d]
  VectorView ffn_norm;   // [d]
  HyperConnectionWeights hc_attn;
  HyperConnectionWeights hc_ffn;
  AttentionWeights attn;
  MoeWeights ffn;
};

struct MtpWeights {
  LayerWeights layer;  // SWA with score routing
  MatrixView e_proj;   // [d, d]
  MatrixView h_proj;   // [d, d]
  VectorView enorm;    // [d]
  VectorView hnorm;    // [d]
  VectorView norm;     // [d]
  HyperConnectionWeights hc_head;
};

enum class DraftKind : uint8_t { kNone, kMtp, kDSpark };

struct ModelWeights {
  MatrixView embed;  // [V, d]
  MatrixView head;   // [V, d]
  VectorView norm;   // [d]
  HyperConnectionWeights hc_head;
  std::vector<LayerWeights> layers;  // [L]
  DraftKind draft = DraftKind::kNone;
  std::optional<MtpWeights> mtp;             // draft == kMtp
  std::vector<std::string> unknown_tensors;  // in the checkpoint but not in the table
};

// Which draft the checkpoint carries (appendix C.1). Without num_nextn_predict_layers: none.
DraftKind DetectDraft(const ModelConfig& config, const Checkpoint& checkpoint);

// Binds every tensor of the table and checks name, shape and dtype. The error names the tensor,
// what the table expects and what the file has. How a matrix is quantised is read from the dtypes
// of .weight and .scale, never from the configuration (spec 2.7). Reads no tensor data.
Result<ModelWeights> BindWeights(const ModelConfig& config, const Checkpoint& checkpoint);

// Everything that is wrong at once, one line each, at most `limit` of them; `unknown_tensors` as
// in ModelWeights, empty if the limit was reached.
struct WeightsReport {
  std::vector<std::string> problems;
  std::vector<std::string> unknown_tensors;
};
WeightsReport CheckWeights(const ModelConfig& config, const Checkpoint& checkpoint, int64_t limit);

}  // namespace dsv
