#include "checkpoint/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "checkpoint/weights_table.h"

namespace dsv {
namespace {

int64_t Blocks(int64_t size) { return (size + kFp8Block - 1) / kFp8Block; }

// Checks and binds one weight after the other; collects what is wrong.
class Binder {
 public:
  Binder(const Checkpoint& checkpoint, size_t limit) : checkpoint_(checkpoint), limit_(limit) {}

  // False when the limit of problems is reached.
  bool Visit(const WeightEntry& entry) {
    if (entry.is_draft && std::holds_alternative<std::monostate>(entry.target)) {
      MarkUnused(entry);
    } else if (entry.IsLinear()) {
      BindLinear(entry);
    } else {
      BindPlain(entry);
    }
    return problems.size() < limit_;
  }

  std::vector<std::string> UnknownTensors() {
    std::sort(used_.begin(), used_.end());
    std::vector<std::string> names;
    checkpoint_.ForEach([&](const std::string& name, const TensorView& view, const auto&) {
      if (!std::binary_search(used_.begin(), used_.end(), &view)) names.push_back(name);
    });
    for (const SafetensorsFile& shard : checkpoint_.shards()) {
      for (const UnsupportedTensor& tensor : shard.unsupported()) names.push_back(tensor.name);
    }
    names.insert(names.end(), checkpoint_.unlisted().begin(), checkpoint_.unlisted().end());
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }

  std::vector<std::string> problems;

 private:
  // The draft of this kind is not run; its tensors are known, not checked.
  void MarkUnused(const WeightEntry& entry) {
    std::string name(entry.name);
    if (entry.IsLinear()) {
      Use(checkpoint_.Find(name + ".scale"));
      name += ".weight";
    }
    Use(checkpoint_.Find(name));
  }
  void Use(const TensorView* view) {
    if (view != nullptr) used_.push_back(view);
  }

  template <class... Args>
  bool Problem(const std::string& name, fmt::format_string<Args...> format, Args&&... args) {
    const std::string problem = fmt::format(format, std::forward<Args>(args)...);
    problems.push_back(
        OneLine(fmt::format("{}: tensor {}: {}", checkpoint_.FileOf(name), name, problem)));
    return false;
  }

  const TensorView* Need(const std::string& name) {
    const TensorView* view = checkpoint_.Find(name);
    Use(view);
    if (view != nullptr) return view;
    if (const UnsupportedTensor* tensor = checkpoint_.FindUnsupported(name)) {
      Problem(name, "dtype {} is not supported", tensor->dtype);
    } else {
      Problem(name, "is missing{}", MissingHint(name));
    }
    return nullptr;
  }

  // Names of the same weight in other programs (spec 2.8) tell what kind of checkpoint this is.
  std::string MissingHint(const std::string& name) const {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kForeign{{
        {"model.embed_tokens.weight", "Hugging Face transformers"},
        {"model.embed.weight", "vLLM"},
        {"token_embd.weight", "GGUF"},
        {"model.layers.0.attn_norm.weight", "vLLM"},
    }};
    for (const auto& [foreign, program] : kForeign) {
      if (checkpoint_.Find(foreign) != nullptr) {
        return fmt::format(" (found {}: names of {}, expected those of the release)", foreign,
                           program);
      }
    }
    if (name.rfind("mtp.0.", 0) == 0 && checkpoint_.Find("mtp.0.norm.weight") == nullptr) {
      return " (config.json announces a draft with num_nextn_predict_layers)";
    }
    const size_t suffix = name.rfind(".scale");
    const std::string inverse = name.substr(0, suffix) + ".weight_scale_inv";
    if (suffix != std::string::npos && checkpoint_.Find(inverse) != nullptr) {
      return fmt::format(" (found {}, expected the names of the release)", inverse);
    }
    return "";
  }

  bool CheckShape(const std::string& name, const TensorView& view,
                  const std::vector<int64_t>& shape) {
    if (view.shape == shape) return true;
    return Problem(name, "shape [{}], expected [{}]", fmt::join(view.shape, ","),
                   fmt::join(shape, ","));
  }

  void BindLinear(const WeightEntry& entry) {
    const std::string name = std::string(entry.name) + ".weight";
    const TensorView* weight = Need(name);
    if (weight == nullptr) return;
    MatrixView view{MatrixFormat::kF32, entry.out, entry.in, weight->data, nullptr};
    bool is_bound = false;
    if (weight->dtype == DType::kI8) {
      is_bound = BindFp4(entry, name, *weight, view);
    } else if (weight->dtype == DType::kF8E4M3) {
      is_bound = BindFp8(entry, name, *weight, view);
    } else {
      is_bound = BindFloat(name, *weight, {entry.out, entry.in},
                           "F8_E4M3, I8 (packed FP4), BF16 or F32", view.format);
    }
    if (is_bound) *std::get<MatrixView*>(entry.target) = view;
  }

  // Activations are quantised in blocks of 128 inputs; wo_a's are not (spec 3.3, 3.4).
  bool CheckInput(const WeightEntry& entry, const std::string& name, int64_t block) {
    if (entry.in % block == 0) return true;
    return Problem(name, "{} inputs, a quantised weight needs a multiple of {}", entry.in, block);
  }

  bool BindFp4(const WeightEntry& entry, const std::string& name, const TensorView& weight,
               MatrixView& view) {
    const bool is_ragged = entry.kind == WeightKind::kRaggedLinear;
    if (!CheckInput(entry, name, is_ragged ? kFp4Block : kFp8Block)) return false;
    if (!CheckShape(name, weight, {entry.out, entry.in / 2})) return false;
    const std::string scale_name = std::string(entry.name) + ".scale";
    const TensorView* scale = Need(scale_name);
    if (scale == nullptr) return false;
    if (scale->dtype != DType::kF8E8M0) {
      return Problem(scale_name, "dtype {}, expected F8_E8M0", DTypeName(scale->dtype));
    }
    view.format = MatrixFormat::kFp4E8M0;
    view.scale = scale->data;
    return CheckShape(scale_name, *scale, {entry.out, entry.in / kFp4Block});
  }

  bool BindFp8(const WeightEntry& entry, const std::string& name, const TensorView& weight,
               MatrixView& view) {
    const bool is_ragged = entry.kind == WeightKind::kRaggedLinear;
    if (!is_ragged && !CheckInput(entry, name, kFp8Block)) return false;
    if (!CheckShape(name, weight, {entry.out, entry.in})) return false;
    const std::string scale_name = std::string(entry.name) + ".scale";
    const TensorView* scale = Need(scale_name);
    if (scale == nullptr) return false;
    if (scale->dtype != DType::kF8E8M0 && scale->dtype != DType::kF32) {
      return Problem(scale_name, "dtype {}, expected F8_E8M0 or F32", DTypeName(scale->dtype));
    }
    view.format = scale->dtype == DType::kF32 ? MatrixFormat::kFp8F32 : MatrixFormat::kFp8E8M0;
    view.scale = scale->data;
    return CheckShape(scale_name, *scale, {Blocks(entry.out), Blocks(entry.in)});
  }

  bool BindFloat(const std::string& name, const TensorView& tensor,
                 const std::vector<int64_t>& shape, std::string_view expected,
                 MatrixFormat& format) {
    if (tensor.dtype != DType::kBF16 && tensor.dtype != DType::kF32) {
      return Problem(name, "dtype {}, expected {}", DTypeName(tensor.dtype), expected);
    }
    format = tensor.dtype == DType::kF32 ? MatrixFormat::kF32 : MatrixFormat::kBF16;
    return CheckShape(name, tensor, shape);
  }

  void BindPlain(const WeightEntry& entry) {
    const std::string name(entry.name);
    const TensorView* tensor = Need(name);
    if (tensor == nullptr) return;
    if (entry.kind == WeightKind::kTokenTable) {
      if (tensor->dtype != DType::kI64) {
        Problem(name, "dtype {}, expected I64", DTypeName(tensor->dtype));
      } else if (CheckShape(name, *tensor, {entry.out, entry.in})) {
        *std::get<const std::byte**>(entry.target) = tensor->data;
      }
      return;
    }
    std::vector<int64_t> shape = {entry.out};
    if (entry.in != 0) shape.push_back(entry.in);
    MatrixView view{MatrixFormat::kF32, entry.out, entry.in, tensor->data, nullptr};
    if (!BindFloat(name, *tensor, shape, "BF16 or F32", view.format)) return;
    if (entry.in != 0) {
      *std::get<MatrixView*>(entry.target) = view;
    } else {
      *std::get<VectorView*>(entry.target) = {tensor->dtype, entry.out, tensor->data};
    }
  }

  const Checkpoint& checkpoint_;
  size_t limit_;
  std::vector<const TensorView*> used_;
};

}  // namespace

DraftKind DetectDraft(const ModelConfig& config, const Checkpoint& checkpoint) {
  if (config.num_nextn_predict_layers == 0) return DraftKind::kNone;
  const bool is_dspark = checkpoint.Find("mtp.0.main_proj.weight") != nullptr;
  return is_dspark ? DraftKind::kDSpark : DraftKind::kMtp;
}

Result<ModelWeights> BindWeights(const ModelConfig& config, const Checkpoint& checkpoint) {
  ModelWeights weights;
  weights.draft = DetectDraft(config, checkpoint);
  Binder binder(checkpoint, 1);
  ForEachWeight(config, weights.draft, weights,
                [&](const WeightEntry& entry) { return binder.Visit(entry); });
  if (!binder.problems.empty()) return Fail("{}", binder.problems.front());
  weights.unknown_tensors = binder.UnknownTensors();
  return weights;
}

WeightsReport CheckWeights(const ModelConfig& config, const Checkpoint& checkpoint, int64_t limit) {
  ModelWeights weights;
  Binder binder(checkpoint, static_cast<size_t>(limit));
  ForEachWeight(config, DetectDraft(config, checkpoint), weights,
                [&](const WeightEntry& entry) { return binder.Visit(entry); });
  WeightsReport report;
  report.problems = std::move(binder.problems);
  if (static_cast<int64_t>(report.problems.size()) < limit) {
    report.unknown_tensors = binder.UnknownTensors();
  }
  return report;
}

}  // namespace dsv
