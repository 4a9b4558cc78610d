#include "checkpoint/weights.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>

#include "checkpoint/model_name.h"
#include "checkpoint/weights_table.h"
#include "support/model_files.h"
#include "support/temp_dir.h"

namespace dsv {
namespace {

using testing::ModelFiles;
using testing::TempDir;

const std::filesystem::path kModels = std::filesystem::path(DSV_TEST_DATA) / "models";

struct Opened {
  ModelConfig config;
  Checkpoint checkpoint;
};

Result<Opened> OpenModel(const std::filesystem::path& directory) {
  DSV_ASSIGN(ModelConfig config, LoadConfig(directory));
  DSV_ASSIGN(Checkpoint checkpoint, Checkpoint::Open(directory));
  return Opened{std::move(config), std::move(checkpoint)};
}

// Binds a model of tests/vectors after `change`.
Result<ModelWeights> BindChanged(const char* model,
                                 const std::function<void(ModelFiles&)>& change) {
  ModelFiles files = ModelFiles::Read(kModels / model);
  change(files);
  const TempDir directory;
  files.Write(directory.path());
  DSV_ASSIGN(const Opened opened, OpenModel(directory.path()));
  return BindWeights(opened.config, opened.checkpoint);
}

TEST(BindWeights, BindsFp4ExpertsWithE8M0Scales) {
  const auto model = OpenModel(kModels / "flash-tiny");
  ASSERT_TRUE(model) << model.error().message;
  const auto weights = BindWeights(model->config, model->checkpoint);
  ASSERT_TRUE(weights) << weights.error().message;
  ASSERT_EQ(weights->layers.size(), 7u);
  EXPECT_EQ(weights->draft, DraftKind::kMtp);
  EXPECT_TRUE(weights->unknown_tensors.empty());
  const LayerWeights& csa = weights->layers[2];
  EXPECT_EQ(csa.kind, LayerKind::kCsa);
  ASSERT_TRUE(csa.attn.indexer);
  EXPECT_EQ(csa.attn.wq_b.format, MatrixFormat::kFp8E8M0);
  const MatrixView& w2 = csa.ffn.experts[4].w2;
  EXPECT_EQ(w2.format, MatrixFormat::kFp4E8M0);
  EXPECT_EQ(w2.out, 256);
  EXPECT_EQ(w2.in, 128);
  EXPECT_EQ(w2.data, model->checkpoint.Find("layers.2.ffn.experts.4.w2.weight")->data);
  EXPECT_EQ(w2.scale, model->checkpoint.Find("layers.2.ffn.experts.4.w2.scale")->data);
  EXPECT_NE(csa.ffn.tid2eid, nullptr);
  EXPECT_FALSE(csa.ffn.bias);
  EXPECT_FALSE(weights->layers[3].attn.indexer);
  EXPECT_TRUE(weights->layers[3].ffn.bias);
  ASSERT_TRUE(weights->mtp);
  EXPECT_EQ(weights->mtp->e_proj.in, 256);
  EXPECT_EQ(weights->mtp->hc_head.fn.out, 4);
  EXPECT_EQ(ModelName(model->config, *weights), "custom");
}

TEST(BindWeights, BindsFp8ExpertsWithF32ScalesAndRaggedBlocks) {
  const auto model = OpenModel(kModels / "base-tiny");
  ASSERT_TRUE(model) << model.error().message;
  const auto weights = BindWeights(model->config, model->checkpoint);
  ASSERT_TRUE(weights) << weights.error().message;
  EXPECT_EQ(weights->layers[1].ffn.experts[0].w1.format, MatrixFormat::kFp8F32);
  EXPECT_EQ(weights->layers[0].attn.wo_a.in, 192);
}

TEST(BindWeights, BindsUnquantisedModels) {
  const auto model = OpenModel(kModels / "f32-tiny");
  ASSERT_TRUE(model) << model.error().message;
  const auto weights = BindWeights(model->config, model->checkpoint);
  ASSERT_TRUE(weights) << weights.error().message;
  EXPECT_EQ(weights->layers[1].ffn.experts[0].w1.format, MatrixFormat::kF32);
  EXPECT_EQ(weights->embed.format, MatrixFormat::kBF16);
}

TEST(BindWeights, ReadsTheFormatFromTheTensorsNotTheConfiguration) {
  const auto weights = BindChanged("base-tiny", [](ModelFiles& files) {
    // One FP4 expert and one BF16 expert among FP8 ones.
    files.Set("layers.0.ffn.experts.0.w1.weight", DType::kI8, {128, 64});
    files.Set("layers.0.ffn.experts.0.w1.scale", DType::kF8E8M0, {128, 4});
    files.Set("layers.0.ffn.experts.1.w1.weight", DType::kBF16, {128, 128});
    files.tensors.erase("layers.0.ffn.experts.1.w1.scale");
    files.Set("norm.weight", DType::kF32, {128});
  });
  ASSERT_TRUE(weights) << weights.error().message;
  const auto& experts = weights->layers[0].ffn.experts;
  EXPECT_EQ(experts[0].w1.format, MatrixFormat::kFp4E8M0);
  EXPECT_EQ(experts[0].w1.in, 128);
  EXPECT_EQ(experts[1].w1.format, MatrixFormat::kBF16);
  EXPECT_EQ(experts[2].w1.format, MatrixFormat::kFp8F32);
  EXPECT_EQ(weights->norm.dtype, DType::kF32);
}

TEST(BindWeights, ReportsTensorsThatTheTableDoesNotKnow) {
  const auto weights = BindChanged("f32-tiny", [](ModelFiles& files) {
    files.Set("vision.patch.weight", DType::kBF16, {2, 2});
    files.Set("layers.0.attn.wq_a.scale", DType::kF32, {1, 1});  // beside an unquantised weight
    files.Set("layers.1.ffn.gate.bias", DType::kF32, {5});       // of a layer that routes by hash
  });
  ASSERT_TRUE(weights) << weights.error().message;
  EXPECT_EQ(weights->unknown_tensors,
            (std::vector<std::string>{"layers.0.attn.wq_a.scale", "layers.1.ffn.gate.bias",
                                      "vision.patch.weight"}));
}

TEST(BindWeights, BindsWithoutADraft) {
  const auto weights = BindChanged("f32-tiny", [](ModelFiles& files) {
    std::erase_if(files.tensors, [](const auto& item) { return item.first.rfind("mtp.", 0) == 0; });
    const std::string key = "\"num_nextn_predict_layers\": 1";
    files.config.replace(files.config.find(key), key.size(), "\"num_nextn_predict_layers\": 0");
    const size_t last = files.config.rfind(",\n    0\n");  // of compress_ratios
    files.config.erase(last, std::string(",\n    0").size());
  });
  ASSERT_TRUE(weights) << weights.error().message;
  EXPECT_EQ(weights->draft, DraftKind::kNone);
  EXPECT_FALSE(weights->mtp);
}

struct Damage {
  const char* model;
  const char* tensor;
  std::function<void(ModelFiles&)> apply;
  const char* message;
};

TEST(BindWeights, NamesTheTensorThatDoesNotFit) {
  const Damage kDamages[] = {
      {"f32-tiny", "head.weight", [](ModelFiles& f) { f.tensors.erase("head.weight"); },
       "is missing"},
      {"f32-tiny", "norm.weight", [](ModelFiles& f) { f.Set("norm.weight", DType::kF32, {47}); },
       "shape [47], expected [48]"},
      {"f32-tiny", "norm.weight", [](ModelFiles& f) { f.Set("norm.weight", DType::kI64, {48}); },
       "dtype I64, expected BF16 or F32"},
      {"f32-tiny", "embed.weight",
       [](ModelFiles& f) {
         f.Set("embed.weight", DType::kBF16, {48, 128});
       },
       "shape [48,128], expected [128,48]"},
      {"f32-tiny", "layers.0.ffn.gate.tid2eid",
       [](ModelFiles& f) {
         f.Set("layers.0.ffn.gate.tid2eid", DType::kF32, {128, 2});
       },
       "dtype F32, expected I64"},
      {"f32-tiny", "layers.0.ffn.gate.tid2eid",
       [](ModelFiles& f) {
         f.Set("layers.0.ffn.gate.tid2eid", DType::kI64, {128, 3});
       },
       "shape [128,3], expected [128,2]"},
      {"f32-tiny", "layers.1.attn.wq_b.weight",
       [](ModelFiles& f) {
         f.Set("layers.1.attn.wq_b.weight", DType::kI64, {256, 40});
       },
       "dtype I64, expected F8_E4M3, I8 (packed FP4), BF16 or F32"},
      {"f32-tiny", "layers.1.attn.wkv.weight",
       [](ModelFiles& f) {
         f.Set("layers.1.attn.wkv.weight", DType::kF8E4M3, {128, 48});
       },
       "48 inputs, a quantised weight needs a multiple of 128"},
      {"f32-tiny", "mtp.0.attn_norm.weight",
       [](ModelFiles& f) {
         std::erase_if(f.tensors, [](const auto& i) { return i.first.rfind("mtp.", 0) == 0; });
       },
       "config.json announces a draft"},
      {"base-tiny", "layers.2.attn.wkv.scale",
       [](ModelFiles& f) { f.tensors.erase("layers.2.attn.wkv.scale"); }, "is missing"},
      {"base-tiny", "layers.2.attn.wkv.scale",
       [](ModelFiles& f) {
         f.Set("layers.2.attn.wkv.scale", DType::kF32, {1, 1});
       },
       "shape [1,1], expected [2,1]"},
      {"base-tiny", "layers.2.attn.wkv.scale",
       [](ModelFiles& f) {
         f.Set("layers.2.attn.wkv.scale", DType::kBF16, {2, 1});
       },
       "dtype BF16, expected F8_E8M0 or F32"},
      {"flash-tiny", "layers.3.ffn.experts.1.w3.weight",
       [](ModelFiles& f) {
         f.Set("layers.3.ffn.experts.1.w3.weight", DType::kI8, {128, 256});
       },
       "shape [128,256], expected [128,128]"},
      {"flash-tiny", "layers.3.ffn.experts.1.w3.scale",
       [](ModelFiles& f) {
         f.Set("layers.3.ffn.experts.1.w3.scale", DType::kF8E8M0, {128, 4});
       },
       "shape [128,4], expected [128,8]"},
      {"flash-tiny", "layers.3.ffn.experts.1.w3.scale",
       [](ModelFiles& f) {
         f.Set("layers.3.ffn.experts.1.w3.scale", DType::kF32, {128, 8});
       },
       "dtype F32, expected F8_E8M0"},
  };
  for (const Damage& damage : kDamages) {
    const auto weights = BindChanged(damage.model, damage.apply);
    const std::string error = weights ? "no error" : weights.error().message;
    EXPECT_NE(error.find(std::string("tensor ") + damage.tensor), std::string::npos) << error;
    EXPECT_NE(error.find(damage.message), std::string::npos) << error;
  }
}

TEST(BindWeights, TellsWhoseNamesACheckpointUses) {
  const auto weights = BindChanged("f32-tiny", [](ModelFiles& files) {
    files.tensors["model.embed_tokens.weight"] = files.tensors["embed.weight"];
    files.tensors.erase("embed.weight");
  });
  ASSERT_FALSE(weights);
  EXPECT_NE(weights.error().message.find("names of Hugging Face transformers"), std::string::npos)
      << weights.error().message;
}

TEST(CheckWeights, ListsAllProblemsUpToTheLimit) {
  ModelFiles files = ModelFiles::Read(kModels / "f32-tiny");
  files.tensors.erase("head.weight");
  files.Set("layers.0.attn_norm.weight", DType::kBF16, {1});
  files.Set("extra", DType::kBF16, {1});
  const TempDir directory;
  files.Write(directory.path());
  const auto model = OpenModel(directory.path());
  ASSERT_TRUE(model) << model.error().message;
  const WeightsReport report = CheckWeights(model->config, model->checkpoint, 100);
  ASSERT_EQ(report.problems.size(), 2u);
  EXPECT_NE(report.problems[0].find("head.weight: is missing"), std::string::npos);
  EXPECT_NE(report.problems[1].find("attn_norm.weight: shape [1]"), std::string::npos);
  EXPECT_EQ(report.unknown_tensors, std::vector<std::string>{"extra"});
  EXPECT_EQ(CheckWeights(model->config, model->checkpoint, 1).problems.size(), 1u);
}

TEST(ExpectedTensors, AreExactlyTheTensorsOfTheFixtures) {
  const std::pair<const char*, WeightScheme> kCases[] = {{"flash-tiny", WeightScheme::kRelease},
                                                         {"base-tiny", WeightScheme::kBase}};
  for (const auto& [name, scheme] : kCases) {
    const auto model = OpenModel(kModels / name);
    ASSERT_TRUE(model) << model.error().message;
    const auto tensors = ExpectedTensors(model->config, DraftKind::kMtp, scheme);
    EXPECT_EQ(static_cast<int64_t>(tensors.size()), model->checkpoint.size());
    for (const auto& tensor : tensors) {
      const TensorView* view = model->checkpoint.Find(tensor.name);
      ASSERT_NE(view, nullptr) << tensor.name;
      EXPECT_EQ(view->dtype, tensor.dtype) << tensor.name;
      EXPECT_EQ(view->shape, tensor.shape) << tensor.name;
    }
  }
}

}  // namespace
}  // namespace dsv
