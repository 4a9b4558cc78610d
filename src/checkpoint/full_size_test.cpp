// The released models in full size: headers and index of a real checkpoint over sparse files.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "checkpoint/accounting.h"
#include "checkpoint/model_name.h"
#include "checkpoint/weights.h"
#include "checkpoint/weights_table.h"
#include "support/sparse_checkpoint.h"
#include "support/temp_dir.h"

namespace dsv {
namespace {

using testing::TempDir;

struct DTypeTotals {
  std::array<int64_t, kDTypeCount> tensors = {};  // by DType
  std::array<int64_t, kDTypeCount> bytes = {};
};

DTypeTotals Totals(const Checkpoint& checkpoint) {
  DTypeTotals totals;
  checkpoint.ForEach([&](const std::string&, const TensorView& view, const std::string&) {
    const auto i = static_cast<size_t>(view.dtype);
    ++totals.tensors[i];
    totals.bytes[i] += view.Bytes();
  });
  return totals;
}

// Config and sparse checkpoint of a release.
class FullSize {
 public:
  FullSize(const char* config_file, DraftKind draft) {
    const auto text = ReadFile(std::filesystem::path(DSV_TEST_DATA) / "configs" / config_file);
    const auto parsed = ParseConfig(text.value(), config_file);
    EXPECT_TRUE(parsed) << parsed.error().message;
    config = *parsed;
    directory.Write("config.json", *text);
    testing::WriteSparseCheckpoint(directory.path(), config,
                                   ExpectedTensors(config, draft, WeightScheme::kRelease));
  }
  TempDir directory;
  ModelConfig config;
};

// Columns of spec 2.1: F32, BF16, F8_E4M3, F8_E8M0, I8, I64.
TEST(FullSize, FlashHasTheTensorsOfTheRelease) {
  const FullSize flash("flash.json", DraftKind::kMtp);
  ASSERT_FALSE(HasFatalFailure());
  const auto checkpoint = Checkpoint::Open(flash.directory.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->shards().size(), 46u);
  EXPECT_EQ(checkpoint->size(), 69'187);
  EXPECT_EQ(checkpoint->declared_bytes(), 159'609'485'896);
  const DTypeTotals totals = Totals(*checkpoint);
  EXPECT_EQ(totals.tensors, (std::array<int64_t, 6>{417, 433, 375, 34'167, 33'792, 3}));
  EXPECT_EQ(totals.bytes, (std::array<int64_t, 6>{144'672'072, 2'830'518'528, 6'023'020'544,
                                                  8'858'737'664, 141'733'920'768, 18'616'320}));
  const auto weights = BindWeights(flash.config, *checkpoint);
  ASSERT_TRUE(weights) << weights.error().message;
  EXPECT_TRUE(weights->unknown_tensors.empty());
  EXPECT_EQ(weights->layers[42].ffn.experts[255].w2.format, MatrixFormat::kFp4E8M0);
  EXPECT_EQ(ModelName(flash.config, *weights), "DeepSeek-V4-Flash");
  // Spec 12.4: L * 6 * 3 * d * I * (1/2 + 1/32) bytes of routed experts.
  const WeightTraffic traffic = CountWeightTraffic(flash.config, *checkpoint);
  EXPECT_EQ(traffic.routed_experts, int64_t{43} * 6 * 3 * 4096 * 2048 / 32 * 17);
  EXPECT_GT(traffic.other, 6'000'000'000);
  EXPECT_LT(traffic.other, 8'000'000'000);
}

TEST(FullSize, FlashWithDSparkDraftBindsAndLeavesTheDraftUnused) {
  const FullSize flash("flash-dspark.json", DraftKind::kDSpark);
  ASSERT_FALSE(HasFatalFailure());
  const auto checkpoint = Checkpoint::Open(flash.directory.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->shards().size(), 48u);
  EXPECT_EQ(checkpoint->size(), 72'317);
  EXPECT_EQ(checkpoint->declared_bytes(), 166'878'536'440);
  const auto weights = BindWeights(flash.config, *checkpoint);
  ASSERT_TRUE(weights) << weights.error().message;
  EXPECT_EQ(weights->draft, DraftKind::kDSpark);
  EXPECT_EQ(ModelName(flash.config, *weights), "DeepSeek-V4-Flash-DSpark");
  EXPECT_FALSE(weights->mtp);
  EXPECT_TRUE(weights->unknown_tensors.empty());
}

struct OpenCost {
  double seconds = 0;      // on the clock
  double cpu_seconds = 0;  // the same on an idle machine: nothing waits for data
  int64_t peak_bytes = 0;  // resident, of a process that does nothing else
  bool is_bound = false;
};

// Measured in a child so that what this process did before does not count.
OpenCost MeasureOpen(const std::filesystem::path& directory) {
  int ends[2] = {};
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "full_size_test", "--measure", directory.c_str(),
          std::to_string(ends[1]).c_str(), nullptr);
    _exit(127);
  }
  close(ends[1]);
  OpenCost cost;
  EXPECT_EQ(read(ends[0], &cost, sizeof cost), static_cast<ssize_t>(sizeof cost));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return cost;
}

int MeasureMain(const char* directory, int descriptor) {
  OpenCost cost;
  const auto start = std::chrono::steady_clock::now();
  const auto config = LoadConfig(directory);
  const auto checkpoint = Checkpoint::Open(directory);
  if (config && checkpoint) cost.is_bound = BindWeights(*config, *checkpoint).has_value();
  cost.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  for (const timeval& time : {usage.ru_utime, usage.ru_stime}) {
    cost.cpu_seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  }
  cost.peak_bytes = usage.ru_maxrss * int64_t{1024};
  return write(descriptor, &cost, sizeof cost) == static_cast<ssize_t>(sizeof cost) ? 0 : 1;
}

TEST(FullSize, ProHasTheTensorsOfTheReleaseAndOpensInASecond) {
  const FullSize pro("pro.json", DraftKind::kMtp);
  ASSERT_FALSE(HasFatalFailure());
  {
    const auto checkpoint = Checkpoint::Open(pro.directory.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    EXPECT_EQ(checkpoint->shards().size(), 64u);
    EXPECT_EQ(checkpoint->size(), 145'116);
    EXPECT_EQ(checkpoint->declared_bytes(), 864'704'792'696);
    const DTypeTotals totals = Totals(*checkpoint);
    EXPECT_EQ(totals.tensors, (std::array<int64_t, 6>{590, 619, 528, 71'952, 71'424, 3}));
    EXPECT_EQ(totals.bytes, (std::array<int64_t, 6>{351'105'656, 5'633'798'656, 23'169'335'296,
                                                    49'150'268'416, 786'381'668'352, 18'616'320}));
  }
  const OpenCost cost = MeasureOpen(pro.directory.path());
  EXPECT_TRUE(cost.is_bound);
  fmt::print("opening and binding Pro: {:.3f} s, {:.3f} s of CPU, {:.1f} MB resident\n",
             cost.seconds, cost.cpu_seconds, static_cast<double>(cost.peak_bytes) / 1e6);
#ifdef DSV_RELEASE_BUILD
  EXPECT_LT(cost.cpu_seconds, 1.0);
  EXPECT_LT(cost.peak_bytes, 300'000'000);
#endif
}

}  // namespace
}  // namespace dsv

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--measure") {
    return dsv::MeasureMain(argv[2], std::stoi(argv[3]));
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
