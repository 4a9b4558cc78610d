#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/accounting.h"
#include "checkpoint/verify.h"
#include "cli/bench/flash_bench.h"
#include "cli/bench/flash_costs.h"
#include "cli/bench/flash_report.h"
#include "cli/bench/random_values.h"
#include "cli/bench/regression.h"
#include "kernels/kernels.h"
#include "tensor/number_formats.h"

namespace dsv::cli {
namespace {

// Flash's layers with little in them.
ModelConfig SmallConfig() {
  ModelConfig config = SyntheticConfig({4, 8, 256});
  config.hidden_size = 128;
  config.num_attention_heads = 4;
  config.q_lora_rank = 128;
  config.o_groups = 2;
  config.o_lora_rank = 128;
  config.moe_intermediate_size = 128;
  config.index_n_heads = 4;
  config.index_topk = 64;
  return config;
}

TEST(SamplesTest, QuantilesAreInterpolated) {
  const Samples samples{{4, 1, 3, 2}};
  EXPECT_DOUBLE_EQ(samples.Median(), 2.5);
  EXPECT_DOUBLE_EQ(samples.Least(), 1);
  EXPECT_DOUBLE_EQ(samples.Quantile(1), 4);
  EXPECT_DOUBLE_EQ(samples.Spread(), (3.25 - 1.75) / 2 / 2.5);
  EXPECT_EQ(Samples{}.Median(), 0);
  EXPECT_DOUBLE_EQ(Rounded(1234.567), 1235);
  EXPECT_DOUBLE_EQ(Rounded(0.001234567, 2), 0.0012);
}

TEST(RandomValuesTest, HaveTheirSize) {
  std::vector<float> floats(1 << 14);
  FillRandom(7, {ValueKind::kF32, 0.125}, std::as_writable_bytes(std::span(floats)));
  double squares = 0;
  for (const float value : floats) squares += static_cast<double>(value) * value;
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(floats.size())), 0.125, 0.06);

  std::vector<uint8_t> bytes(1001, 0);  // no multiple of what is filled at a time
  FillRandom(7, {ValueKind::kE4M3, 1}, std::as_writable_bytes(std::span(bytes)));
  for (const uint8_t byte : bytes) EXPECT_LT(byte & 0x7F, 0x40);
  FillRandom(7, {ValueKind::kE8M0, 0.25}, std::as_writable_bytes(std::span(bytes)));
  for (const uint8_t byte : bytes) EXPECT_TRUE(byte == 124 || byte == 125) << int{byte};
}

// The model goes through the checks of a file, to the last byte.
TEST(SyntheticModelTest, IsAValidCheckpoint) {
  ThreadPool pool(2);
  const ModelConfig config = SmallConfig();
  const auto model = SyntheticModel::Make(config, pool);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_TRUE(CheckWeights(config, model->checkpoint(), 10).problems.empty());
  EXPECT_TRUE(model->transformer().weights().unknown_tensors.empty());
  EXPECT_TRUE(VerifyData(config, model->checkpoint(), pool, nullptr).empty());
  EXPECT_EQ(model->transformer().weights().layers[2].kind, LayerKind::kHca);
}

TEST(SyntheticStateTest, HoldsFiniteRowsAndGoesOn) {
  ThreadPool pool(2);
  const ModelConfig config = SmallConfig();
  const auto kernels = SelectKernels(ForcedIsa());
  ASSERT_TRUE(kernels);
  const SessionState state = SyntheticState(config, 1024, pool);
  EXPECT_EQ(state.tokens(), 1024);
  EXPECT_EQ(state.layers[1].rows->size(), 256);
  EXPECT_EQ(state.layers[1].keys->size(), 256);
  EXPECT_EQ(state.layers[2].rows->size(), 8);
  std::vector<float> row(static_cast<size_t>(config.head_dim));
  std::vector<float> other(row.size());
  const RowStore& rows = *state.layers[1].rows;
  rows.format().Unpack(**kernels, rows.Stored(100), row.data());
  rows.format().Unpack(**kernels, rows.Stored(101), other.data());
  EXPECT_NE(row, other);
  for (const float value : row) EXPECT_TRUE(std::isfinite(value));
}

TEST(FlashCostsTest, WeightBytesAreThoseOfTheAccounting) {
  ThreadPool pool(2);
  const ModelConfig config = SmallConfig();
  const auto model = SyntheticModel::Make(config, pool);
  ASSERT_TRUE(model);
  int64_t bytes = Sum(HeadWeightBytes(model->checkpoint()));
  for (int64_t i = 0; i < 4; ++i) bytes += Sum(LayerWeightBytes(config, model->checkpoint(), i));
  const int64_t row = 2 * config.hidden_size;  // of the embedding
  EXPECT_EQ(bytes + row, CountWeightTraffic(config, model->checkpoint()).Total());
}

TEST(FlashCostsTest, RowsAreReadOnce) {
  const ModelConfig config = SyntheticConfig({});
  const RowsRead csa = RowsAt(config, LayerKind::kCsa, 4096);
  EXPECT_EQ(csa.window, 128);
  EXPECT_EQ(csa.compressed, 512);
  EXPECT_EQ(csa.keys, 1024);
  EXPECT_EQ(RowsAt(config, LayerKind::kCsa, 1024).keys, 0);
  const OperatorAmounts bytes = RowBytes(config, LayerKind::kCsa, 4096);
  EXPECT_EQ(bytes.at("attention_csa_swa"), (128 + 512) * 584);
  EXPECT_EQ(bytes.at("index_scan"), 1024 * 68);
  EXPECT_EQ(Sum(RowBytes(config, LayerKind::kHca, 4096)), (128 + 32) * 584);
}

TEST(FlashBenchTest, TimesAddUp) {
  ThreadPool pool(2);
  const auto model = SyntheticModel::Make(SmallConfig(), pool);
  ASSERT_TRUE(model);
  const auto kernels = SelectKernels(ForcedIsa());
  ASSERT_TRUE(kernels);
  const SessionState state = SyntheticState(model->config(), 1024, pool);
  const auto times = MeasurePasses(*model, **kernels, pool, state, {.least = 3, .seconds = 0.001});
  ASSERT_TRUE(times) << times.error().message;
  EXPECT_GE(times->distinct_experts, 4 * 2);
  EXPECT_EQ(times->experts_chosen, 2 * 4 * 6);
  double passes = 0;
  double operators = 0;
  for (const double seconds : times->pass.values) passes += seconds;
  for (const double seconds : times->operators) operators += seconds;
  EXPECT_NEAR(operators, passes, 0.05 * passes + 1e-4);

  MachineRoofs roofs;
  roofs.read.values = {1e9};
  const Json json = DecodeReport(*model, {1024, 1, &roofs, *times});
  EXPECT_EQ(json["layer_kinds"].size(), 3);
  double share = 0;
  for (const auto& [name, line] : json["operators"].items()) share += line["percent"].get<double>();
  EXPECT_NEAR(share, 100, 1);
  const Json& whole = json["published_model"];
  const double sum = 2 * whole["SWA_ms"].get<double>() + 21 * whole["CSA_ms"].get<double>() +
                     20 * whole["HCA_ms"].get<double>() + whole["head_ms"].get<double>();
  EXPECT_NEAR(whole["ms"].get<double>(), sum, 0.01 * sum);
}

Json OneRun(double ms, double us) {
  Json json{{"bench", "x"}};
  json["decode"].push_back({{"context", 0}, {"threads", 1}, {"ms", {{"median", ms}}}});
  json["figures"].push_back({{"op", "norm"}, {"rows", 1}, {"us", {{"median", us}}}});
  return json;
}

TEST(RegressionTest, NeedsTenPerCentAndMoreThanTheFloor) {
  const Json base = OneRun(10, 1);
  EXPECT_TRUE(FindRegressions(base, OneRun(10.9, 2.5)).empty());
  const auto found = FindRegressions(base, OneRun(11.1, 3.5));
  ASSERT_EQ(found.size(), 2);
  EXPECT_EQ(found[0].figure, "decode context=0 threads=1 ms");
  EXPECT_EQ(found[1].figure, "figures op=norm rows=1 us");
  EXPECT_TRUE(FindRegressions(base, OneRun(5, 0.5)).empty());
}

}  // namespace
}  // namespace dsv::cli
