#include <gtest/gtest.h>

#include "base/file.h"
#include "checkpoint/accounting.h"
#include "checkpoint/published_models.h"
#include "cli/figures/figures_data.h"

namespace dsv::cli {
namespace {

// The dimensions in the code cost what the published config.json costs.
TEST(PublishedModels, EqualTheirConfigurations) {
  for (const bool pro : {false, true}) {
    const std::string path =
        std::string(DSV_TEST_DATA "/configs/") + (pro ? "pro.json" : "flash.json");
    const auto text = ReadFile(path);
    ASSERT_TRUE(text);
    const auto published = ParseConfig(*text, path);
    ASSERT_TRUE(published);
    const ModelConfig config = pro ? ProConfig() : FlashConfig();
    EXPECT_EQ(config.layers, published->layers);
    const int64_t active = CountParameters(config, DraftKind::kNone).active;
    EXPECT_EQ(active, CountParameters(*published, DraftKind::kNone).active);
    for (const int64_t tokens : FigureContexts()) {
      EXPECT_EQ(KvBytes(config, KvFormat::kPacked, tokens),
                KvBytes(*published, KvFormat::kPacked, tokens));
      EXPECT_EQ(CountFlops(config, active, tokens).Total(),
                CountFlops(*published, active, tokens).Total());
    }
  }
}

TEST(HeldBytes, AreTheFormulaWithinFivePercentAndStopAtTheLimit) {
  const auto points = HeldBytes(FlashConfig(), 300'000'000);
  ASSERT_EQ(points.size(), 5U);
  EXPECT_EQ(points.back().tokens, 65536);
  const auto formula =
      static_cast<double>(KvBytes(FlashConfig(), KvFormat::kPacked, points.back().tokens));
  EXPECT_GE(points.back().value, formula);
  EXPECT_LE(points.back().value, 1.05 * formula);
}

// What the engine counts for one token is the formula of spec 12.4, part by part.
TEST(MeasureModel, CountsTheFormula) {
  for (const char* precision : {"reference", "f32"}) {
    ModelFlags flags;
    flags.directory = DSV_SOURCE_DIR "/models/needle-text";
    flags.precision = precision;
    const auto measured = MeasureModel(flags, 8192);
    ASSERT_TRUE(measured) << measured.error().message;
    ASSERT_EQ(measured->flops.size(), 8U);
    for (size_t i = 0; i < measured->flops.size(); i += 2) {
      ASSERT_EQ(measured->flops[i].points.size(), 2U);
      for (size_t j = 0; j < 2; ++j) {
        EXPECT_GT(measured->flops[i].points[j].value, 0);
        EXPECT_EQ(measured->flops[i].points[j].value, measured->flops[i + 1].points[j].value)
            << measured->flops[i].name;
      }
    }
    if (flags.precision == "f32") continue;
    EXPECT_GE(measured->bytes[1].points[1].value, measured->bytes[0].points[1].value);
  }
}

}  // namespace
}  // namespace dsv::cli
