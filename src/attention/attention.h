// The attention sub-layer: SWA, CSA and HCA (spec 4.4 to 4.8).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "attention/compressor.h"
#include "attention/indexer.h"
#include "cache/batch.h"
#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/context.h"
#include "kernels/observer.h"
#include "kernels/rope.h"

namespace dsv {

// RoPE frequencies of a model: `plain` for SWA layers and MTP, `compressed` for CSA and HCA.
struct RopeTables {
  explicit RopeTables(const ModelConfig& config);
  const std::vector<float>& Of(LayerKind kind) const {
    return kind == LayerKind::kSwa ? plain : compressed;
  }

  std::vector<float> plain;
  std::vector<float> compressed;
};

class Attention {
 public:
  // All arguments must outlive the object.
  Attention(const AttentionWeights& weights, LayerKind kind, const ModelConfig& config,
            const RopeTables& rope);

  // x and out are [rows, d]; x is the normed input. Advances the state of every segment.
  void Forward(const OpContext& context, const Batch& batch, LayerStates states, const float* x,
               const Observer& observe, float* out) const;

  // The steps of Forward, each [rows, ...] to [rows, ...].
  void Queries(const OpContext& context, const Batch& batch, const float* qr, float* q) const;
  // One row, with the angles at index `at`: q is [H, c], kv [c], o [H, c].
  void FinishQueryHeads(const OpContext& context, const RopeAngles& angles, int64_t at,
                        float* q) const;
  void FinishWindowRow(const OpContext& context, const RopeAngles& angles, int64_t at,
                       float* kv) const;
  void Output(const OpContext& context, const Batch& batch, float* o, float* out) const;
  void UnrotateHeads(const OpContext& context, const RopeAngles& angles, int64_t at,
                     float* o) const;
  void GroupProjection(const OpContext& context, const float* o, int64_t rows, float* z) const;

 private:
  using Selection = std::vector<std::vector<int64_t>>;  // per row of the batch; CSA only

  void Project(const OpContext& context, const float* x, int64_t rows, float* qr,
               float* window_rows) const;
  void Compress(const OpContext& context, const Batch& batch, LayerStates states,
                const float* x) const;
  Selection SelectRows(const OpContext& context, const Batch& batch, LayerStates states,
                       const float* x, const float* qr) const;
  void ObserveSelection(const Observer& observe, const Selection& selected) const;
  void Attend(const OpContext& context, const Batch& batch, LayerStates states, const float* q,
              const float* window_rows, const Selection& selected, float* o) const;
  void KeepWindow(const Batch& batch, LayerStates states, const float* window_rows) const;

  const AttentionWeights& weights_;
  LayerKind kind_;
  const ModelConfig& config_;
  const std::vector<float>& frequencies_;
  std::optional<Compressor> compressor_;
  std::optional<Indexer> indexer_;
};

}  // namespace dsv
