#include "cli/bench/synthetic_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/published_models.h"
#include "checkpoint/verify.h"
#include "checkpoint/weights_table.h"
#include "cli/bench/random_values.h"
#include "io/safetensors.h"

namespace dsv::cli {
namespace {

// Bytes that are filled with one seed.
constexpr int64_t kPiece = 4 << 20;

struct Piece {
  std::span<std::byte> bytes;
  ValueRange range;
};

// Scales that give the rows of a quantised weight a sum of squares near 1.
double ScaleSize(const SafetensorsWriter::Entry& tensor) {
  const bool is_fp4 = tensor.name.find(".experts.") != std::string::npos;
  const int64_t inputs = tensor.shape.back() * (is_fp4 ? kFp4Block : kFp8Block);
  return 1 / std::sqrt(static_cast<double>(inputs)) / (is_fp4 ? kRmsE2M1 : kRmsE4M3);
}

// How the values of a tensor are distributed: rows of a matrix have a sum of squares near 1.
ValueRange RangeOf(const SafetensorsWriter::Entry& tensor) {
  const double size = 1 / std::sqrt(static_cast<double>(tensor.shape.back()));
  switch (tensor.dtype) {
    case DType::kF8E4M3:
      return {ValueKind::kE4M3, 0};
    case DType::kI8:
      return {ValueKind::kBytes, 0};
    case DType::kF8E8M0:
      return {ValueKind::kE8M0, ScaleSize(tensor)};
    case DType::kI64:
      return {ValueKind::kBytes, 0};
    case DType::kF32:
    case DType::kBF16:
      break;
  }
  const bool is_bf16 = tensor.dtype == DType::kBF16;
  if (tensor.name.ends_with("norm.weight")) {
    return {is_bf16 ? ValueKind::kBf16NearOne : ValueKind::kF32NearOne, 1};
  }
  const bool is_vector = tensor.shape.size() == 1;
  const bool is_table = tensor.name.ends_with(".ape") || tensor.name == "embed.weight";
  return {is_bf16 ? ValueKind::kBf16 : ValueKind::kF32, is_vector ? 0.1 : (is_table ? 1.0 : size)};
}

std::vector<Piece> PiecesOf(std::span<std::byte> data,
                            std::span<const SafetensorsWriter::Entry> tensors) {
  std::vector<Piece> pieces;
  for (const SafetensorsWriter::Entry& tensor : tensors) {
    int64_t bytes = DTypeSize(tensor.dtype);
    for (const int64_t extent : tensor.shape) bytes *= extent;
    const ValueRange range = RangeOf(tensor);
    for (int64_t begin = 0; begin < bytes; begin += kPiece) {
      const auto size = static_cast<size_t>(std::min(kPiece, bytes - begin));
      pieces.push_back({data.subspan(static_cast<size_t>(begin), size), range});
    }
    data = data.subspan(static_cast<size_t>(bytes));
  }
  return pieces;
}

}  // namespace

ModelConfig SyntheticConfig(const SyntheticShape& shape) {
  ModelConfig config = FlashConfig();
  config.num_hidden_layers = shape.layers;
  config.n_routed_experts = shape.experts;
  config.vocab_size = shape.vocabulary;
  config.num_hash_layers = 0;
  config.num_nextn_predict_layers = 0;
  config.layers = {LayerKind::kSwa};
  while (std::ssize(config.layers) < shape.layers) {
    config.layers.push_back(config.layers.size() % 2 == 1 ? LayerKind::kCsa : LayerKind::kHca);
  }
  return config;
}

Result<SyntheticModel> SyntheticModel::Make(const ModelConfig& config, ThreadPool& pool) {
  const auto tensors = ExpectedTensors(config, DraftKind::kNone, WeightScheme::kRelease);
  const std::string prefix = SafetensorsPrefix(tensors);
  auto bytes = static_cast<int64_t>(prefix.size());
  for (const SafetensorsWriter::Entry& tensor : tensors) {
    int64_t elements = 1;
    for (const int64_t extent : tensor.shape) elements *= extent;
    bytes += elements * DTypeSize(tensor.dtype);
  }
  SyntheticModel model;
  DSV_ASSIGN(model.image_, HugeBuffer::Make(bytes));
  const std::span<std::byte> image = model.image_.bytes();
  std::memcpy(image.data(), prefix.data(), prefix.size());
  const std::vector<Piece> pieces = PiecesOf(image.subspan(prefix.size()), tensors);
  pool.ParallelFor(std::ssize(pieces), [&](int64_t i, int64_t) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    FillRandom(static_cast<uint64_t>(i), piece.range, piece.bytes);
  });

  DSV_ASSIGN(Checkpoint checkpoint, Checkpoint::FromMemory("synthetic", image));
  model.checkpoint_ = std::make_unique<Checkpoint>(std::move(checkpoint));
  DSV_ASSIGN(ModelWeights weights, BindWeights(config, *model.checkpoint_));
  DSV_TRY(CheckSelection(config, *model.checkpoint_));
  model.transformer_ = std::make_unique<Transformer>(config, std::move(weights));
  return model;
}

}  // namespace dsv::cli
