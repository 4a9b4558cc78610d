// The one table of a model's weights (spec 2.3, appendix C.1): name, kind, shape, when required,
// and where it is bound.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "io/safetensors.h"

namespace dsv {

enum class WeightKind : uint8_t {
  kLinear,        // name.weight and name.scale; FP8 in the release, activations are quantised
  kRaggedLinear,  // the same without activation quantisation: `in` may be ragged (wo_a)
  kExpertLinear,  // of a routed expert; FP4 in the release, FP8 in Base models
  kEmbedding,     // BF16 matrix of which a token reads one row
  kMatrix,        // BF16 in the release
  kF32Matrix,     // F32 in the release
  kF32Table,      // F32 matrix whose rows are added, not multiplied (ape)
  kVector,        // BF16 in the release
  kF32Vector,     // F32 in the release
  kTokenTable,    // I64 [V, K]
};

using WeightTarget =
    std::variant<std::monostate, MatrixView*, VectorView*, const std::byte**>;  // monostate: unused

struct WeightEntry {
  std::string_view name;  // full; of the three linear kinds without .weight and .scale
  WeightKind kind = WeightKind::kMatrix;
  int64_t out = 0;  // the size of a vector
  int64_t in = 0;   // 0: a vector
  bool is_draft = false;
  WeightTarget target;

  bool IsLinear() const { return kind <= WeightKind::kExpertLinear; }
};

using WeightVisitor = std::function<bool(const WeightEntry&)>;

// Calls visit(entry) for every weight of the model and its draft until it returns false. No entry
// has a target.
void ForEachWeight(const ModelConfig& config, DraftKind draft, const WeightVisitor& visit);

// The same with targets in `weights`, whose layers and experts are created on the way. A DSpark
// draft has no targets.
void ForEachWeight(const ModelConfig& config, DraftKind draft, ModelWeights& weights,
                   const WeightVisitor& visit);

// How a checkpoint stores the linear weights.
enum class WeightScheme : uint8_t {
  kRelease,  // FP8, FP4 experts, E8M0 scales
  kBase,     // FP8, F32 scales (spec 2.7)
  kBf16,     // no quantised weight
};

// The stored tensors of a whole model, as a checkpoint of this scheme has them, in table order.
std::vector<SafetensorsWriter::Entry> ExpectedTensors(const ModelConfig& config, DraftKind draft,
                                                      WeightScheme scheme);

}  // namespace dsv
