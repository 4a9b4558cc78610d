#include "checkpoint/verify.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/model_files.h"
#include "support/temp_dir.h"

namespace dsv {
namespace {

using testing::ModelFiles;
using testing::TempDir;

const std::filesystem::path kModels = std::filesystem::path(DSV_TEST_DATA) / "models";

std::vector<std::string> Verify(const ModelFiles& files) {
  const TempDir directory;
  files.Write(directory.path());
  const auto config = LoadConfig(directory.path());
  const auto checkpoint = Checkpoint::Open(directory.path());
  EXPECT_TRUE(config && checkpoint);
  ThreadPool pool(3);
  return VerifyData(*config, *checkpoint, pool, nullptr);
}

TEST(VerifyData, PassesSoundModelsAndReportsProgress) {
  for (const char* name : {"flash-tiny", "base-tiny", "f32-tiny"}) {
    const auto config = LoadConfig(kModels / name);
    const auto checkpoint = Checkpoint::Open(kModels / name);
    ASSERT_TRUE(config && checkpoint);
    int64_t last = 0;
    int64_t all = 0;
    ThreadPool pool(1);
    const auto problems = VerifyData(*config, *checkpoint, pool, [&](int64_t done, int64_t total) {
      EXPECT_GT(done, last);
      last = done;
      all = total;
    });
    EXPECT_TRUE(problems.empty()) << problems.front();
    EXPECT_EQ(last, all);
  }
}

struct Damage {
  const char* model;
  const char* tensor;
  size_t byte;  // where `bytes` go
  std::string bytes;
  const char* message;
};

TEST(VerifyData, NamesTheTensorAndTheIndex) {
  const Damage kDamages[] = {
      {"flash-tiny", "layers.3.ffn.experts.1.w2.scale", 9, "\xFF", "[2, 1] is NaN (F8_E8M0)"},
      {"flash-tiny", "layers.0.attn.wq_a.weight", 257, "\x7F", "[1, 1] is NaN (F8_E4M3)"},
      {"flash-tiny", "mtp.0.h_proj.weight", 65535, "\xFF", "[255, 255] is NaN (F8_E4M3)"},
      {"base-tiny", "layers.0.attn.wkv.scale", 4, std::string("\0\0\x80\x7F", 4),
       "[1, 0] is not finite (F32)"},
      {"base-tiny", "layers.0.attn.wkv.scale", 0, std::string("\1\0\x80\xFF", 4),
       "[0, 0] is not finite (F32)"},
      {"base-tiny", "embed.weight", 2, "\xC0\x7F", "[0, 1] is NaN (BF16)"},
      {"base-tiny", "layers.0.attn.attn_sink", 8, std::string("\0\0\xC0\x7F", 4),
       "[2] is NaN (F32)"},
      {"base-tiny", "layers.1.ffn.gate.tid2eid", 16, std::string("\5\0\0\0\0\0\0\0", 8),
       "[1, 0] is 5, expected an expert id below 5"},
      {"base-tiny", "layers.1.ffn.gate.tid2eid", 16, std::string(8, '\xFF'),
       "[1, 0] is -1, expected an expert id below 5"},
      {"base-tiny", "layers.1.ffn.gate.tid2eid", 32,
       std::string("\3\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0", 16), "row 2 names expert 3 twice"},
  };
  for (const Damage& damage : kDamages) {
    ModelFiles files = ModelFiles::Read(kModels / damage.model);
    files.tensors.at(damage.tensor).bytes.replace(damage.byte, damage.bytes.size(), damage.bytes);
    const auto problems = Verify(files);
    ASSERT_EQ(problems.size(), 1u) << damage.tensor;
    EXPECT_NE(problems[0].find(std::string("model.safetensors: tensor ") + damage.tensor + ": " +
                               damage.message),
              std::string::npos)
        << problems[0];
  }
}

TEST(VerifyData, GivesTheSameListWithAnyNumberOfThreads) {
  ModelFiles files = ModelFiles::Read(kModels / "flash-tiny");
  for (auto& [name, tensor] : files.tensors) {
    if (tensor.dtype == DType::kF8E8M0) tensor.bytes.back() = '\xFF';
  }
  const TempDir directory;
  files.Write(directory.path());
  const auto config = LoadConfig(directory.path());
  const auto checkpoint = Checkpoint::Open(directory.path());
  ASSERT_TRUE(config && checkpoint);
  ThreadPool one(1);
  const auto expected = VerifyData(*config, *checkpoint, one, nullptr);
  EXPECT_GT(expected.size(), 100U);
  for (const int64_t threads : {2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(VerifyData(*config, *checkpoint, pool, nullptr), expected);
  }
}

TEST(CheckSelection, ReadsTablesBiasesAndScalesOfIndexers) {
  const Damage kDamages[] = {
      {"base-tiny", "layers.1.ffn.gate.tid2eid", 16, "\5",
       "[1, 0] is 5, expected an expert id below 5"},
      {"base-tiny", "layers.2.ffn.gate.bias", 4, "\xFF\xFF\xFF\xFF", "[1] is NaN (F32)"},
      {"base-tiny", "layers.1.attn.indexer.wq_b.scale", 0, "\xFF\xFF\xFF\x7F",
       "[0, 0] is not finite (F32)"},
      {"base-tiny", "layers.1.attn.wq_b.scale", 0, "\xFF\xFF\xFF\x7F", nullptr},
  };
  for (const Damage& damage : kDamages) {
    ModelFiles files = ModelFiles::Read(kModels / damage.model);
    files.tensors.at(damage.tensor).bytes.replace(damage.byte, damage.bytes.size(), damage.bytes);
    const TempDir directory;
    files.Write(directory.path());
    const auto config = LoadConfig(directory.path());
    const auto checkpoint = Checkpoint::Open(directory.path());
    ASSERT_TRUE(config && checkpoint);
    const Status status = CheckSelection(*config, *checkpoint);
    ASSERT_EQ(status.has_value(), damage.message == nullptr) << damage.tensor;
    if (status) continue;
    EXPECT_EQ(status.error().message, (directory / "model.safetensors").string() + ": tensor " +
                                          damage.tensor + ": " + damage.message);
  }
}

TEST(VerifyData, AllowsInfiniteWeightsAndWrongShapes) {
  ModelFiles files = ModelFiles::Read(kModels / "f32-tiny");
  files.tensors.at("layers.0.attn.attn_sink").bytes.replace(0, 4, std::string("\0\0\x80\xFF", 4));
  files.Set("layers.0.ffn.gate.tid2eid", DType::kI64, {256});
  files.Set("layers.1.ffn.gate.tid2eid", DType::kI64, {7, 0});
  files.Set("layers.0.attn.wq_a.weight", DType::kI64, {4});
  EXPECT_TRUE(Verify(files).empty());
}

}  // namespace
}  // namespace dsv
