#include "checkpoint/model_name.h"

#include <array>
#include <string_view>

namespace dsv {
namespace {

// The symbols of spec section 0 that tell the releases apart.
struct Release {
  std::string_view name;
  int64_t hidden_size;
  int64_t num_hidden_layers;
  int64_t num_attention_heads;
  int64_t n_routed_experts;
  int64_t moe_intermediate_size;
  int64_t vocab_size;
};
constexpr std::array<Release, 2> kReleases{{
    {"DeepSeek-V4-Flash", 4096, 43, 64, 256, 2048, 129280},
    {"DeepSeek-V4-Pro", 7168, 61, 128, 384, 3072, 129280},
}};

bool Matches(const Release& release, const ModelConfig& config) {
  return config.hidden_size == release.hidden_size &&
         config.num_hidden_layers == release.num_hidden_layers &&
         config.num_attention_heads == release.num_attention_heads &&
         config.n_routed_experts == release.n_routed_experts &&
         config.moe_intermediate_size == release.moe_intermediate_size &&
         config.vocab_size == release.vocab_size;
}

// Told by the experts of the first layer (spec 2.7, appendix C).
std::string_view ExpertSuffix(const ModelWeights& weights) {
  if (weights.layers.empty() || weights.layers[0].ffn.experts.empty()) return "";
  switch (weights.layers[0].ffn.experts[0].w1.format) {
    case MatrixFormat::kFp4E8M0:
      return "";
    case MatrixFormat::kFp8F32:
      return "-Base";
    case MatrixFormat::kFp8E8M0:
      return " (FP8 experts)";
    case MatrixFormat::kBF16:
      return " (BF16)";
    case MatrixFormat::kF32:
      return " (F32)";
  }
  return "";
}

}  // namespace

std::string ModelName(const ModelConfig& config, const ModelWeights& weights) {
  for (const Release& release : kReleases) {
    if (!Matches(release, config)) continue;
    std::string name(release.name);
    if (weights.draft == DraftKind::kDSpark) name += "-DSpark";
    return name.append(ExpertSuffix(weights));
  }
  return "custom";
}

}  // namespace dsv
