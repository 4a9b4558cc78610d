#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "cli/commands.h"
#include "cli/inspect_report.h"
#include "cli/progress.h"
#include "support/model_files.h"
#include "support/temp_dir.h"

namespace dsv::cli {
namespace {

using dsv::testing::ModelFiles;
using dsv::testing::TempDir;

const std::filesystem::path kModels = std::filesystem::path(DSV_TEST_DATA) / "models";

struct Outcome {
  std::string output;
  std::string error;  // empty: success
};

Outcome RunInspect(const std::string& arguments) {
  CLI::App app;
  Action action;
  AddInspectCommand(app, action);
  app.parse("inspect " + arguments, /*program_name_included=*/false);
  ::testing::internal::CaptureStdout();
  const Status status = action();
  return {::testing::internal::GetCapturedStdout(), status ? "" : status.error().message};
}

TEST(Inspect, PrintsTables) {
  const Outcome outcome = RunInspect((kModels / "flash-tiny").string());
  EXPECT_EQ(outcome.error, "");
  for (const char* text :
       {"custom  ", "Layers   7: 2 SWA, 3 CSA, 2 HCA; the first 3 route by token id\n",
        "Pattern  SWA x2, (CSA HCA) x2, CSA\n", "Draft    MTP\n",
        "  BF16             73             2,205,696\n", "  1M ", "  moe_intermediate_size "}) {
    EXPECT_NE(outcome.output.find(text), std::string::npos) << text << outcome.output;
  }
  EXPECT_EQ(outcome.output.find("Problems"), std::string::npos);
}

TEST(Inspect, PrintsJson) {
  const Outcome outcome = RunInspect((kModels / "base-tiny").string() + " --json --verify");
  EXPECT_EQ(outcome.error, "");
  const auto json = ParseJson(outcome.output, "output");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ((*json)["dimensions"]["head_dim"], 192);
  EXPECT_EQ((*json)["layers"], Json({"SWA", "CSA", "HCA"}));
  EXPECT_EQ((*json)["tensors"]["count"], 267);
  EXPECT_EQ((*json)["contexts"].size(), 7u);
  EXPECT_EQ((*json)["contexts"][6]["v32_kv_bytes"], 50'402'951'168);
  EXPECT_TRUE((*json)["problems"].empty());
}

TEST(Inspect, ShowsTheTablesAndFailsWhenTensorsAreWrong) {
  ModelFiles files = ModelFiles::Read(kModels / "f32-tiny");
  files.tensors.erase("head.weight");
  files.tensors.erase("norm.weight");
  files.Set("vision.x", DType::kBF16, {1});
  const TempDir directory;
  files.Write(directory.path());
  const Outcome outcome = RunInspect(directory.path().string());
  EXPECT_EQ(outcome.error,
            directory.path().string() + ": tensor head.weight: is missing (and 1 more)");
  EXPECT_NE(outcome.output.find("\nProblems\n"), std::string::npos);
  EXPECT_NE(outcome.output.find("\nUnknown tensors\n  vision.x\n"), std::string::npos);
}

TEST(Inspect, FindsDamagedDataOnlyWithVerify) {
  ModelFiles files = ModelFiles::Read(kModels / "base-tiny");
  files.tensors.at("layers.0.attn.wq_a.weight").bytes[130] = '\x7F';
  const TempDir directory;
  files.Write(directory.path());
  EXPECT_EQ(RunInspect(directory.path().string()).error, "");
  const Outcome outcome = RunInspect(directory.path().string() + " --verify --json");
  EXPECT_NE(outcome.error.find("layers.0.attn.wq_a.weight: [1, 2] is NaN (F8_E4M3)"),
            std::string::npos)
      << outcome.error;
}

TEST(Inspect, FailsOnWhatItCannotOpen) {
  const TempDir directory;
  EXPECT_NE(RunInspect(directory.path().string()).error.find("config.json: cannot open"),
            std::string::npos);
}

TEST(LayerPattern, ShortensRunsAndRepeatedGroups) {
  constexpr LayerKind S = LayerKind::kSwa;
  constexpr LayerKind C = LayerKind::kCsa;
  constexpr LayerKind H = LayerKind::kHca;
  EXPECT_EQ(LayerPattern({S, S, C, H, C, H, C}), "SWA x2, (CSA HCA) x2, CSA");
  EXPECT_EQ(LayerPattern({H, H, C, H, C, H, C}), "HCA x2, (CSA HCA) x2, CSA");
  EXPECT_EQ(LayerPattern({S, C, H}), "SWA, CSA, HCA");
  EXPECT_EQ(LayerPattern({C}), "CSA");
  EXPECT_EQ(LayerPattern({S, C, H, S, C, H}), "(SWA CSA HCA) x2");
}

TEST(Progress, LineShowsPartRateAndTimeLeft) {
  EXPECT_EQ(ProgressLine("prompt", "tokens", Progress::Unit::kCount, 1200, 40'000, 2),
            "prompt  1,200/40,000 tokens  3%  600 tokens/s  1:05 left");
  EXPECT_EQ(ProgressLine("verify", "", Progress::Unit::kBytes, 2'000'000'000, 160'000'000'000, 2),
            "verify  2.00 GB/160.00 GB  1%  1.00 GB/s  2:38 left");
  EXPECT_EQ(ProgressLine("read", "lines", Progress::Unit::kCount, 9, 0, 3),
            "read  9 lines  3.0 lines/s");
}

TEST(Progress, IsSilentWithoutATerminal) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("prompt", "tokens", 10);
    for (int64_t i = 0; i <= 10; ++i) progress.Update(i);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(Numbers, AreShortened) {
  EXPECT_EQ(WithCommas(0), "0");
  EXPECT_EQ(WithCommas(999), "999");
  EXPECT_EQ(WithCommas(-1234567), "-1,234,567");
  EXPECT_EQ(WithCommas(-123), "-123");
  EXPECT_EQ(ShortBytes(999), "999 B");
  EXPECT_EQ(ShortBytes(999'999), "1.00 MB");
  EXPECT_EQ(ShortBytes(159'609'485'896), "159.61 GB");
}

}  // namespace
}  // namespace dsv::cli
