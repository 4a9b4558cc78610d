// The tables of spec section 12, to every printed digit.
#include "checkpoint/accounting.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/file.h"

namespace dsv {
namespace {

ModelConfig Load(const char* name) {
  const auto text = ReadFile(std::filesystem::path(DSV_TEST_DATA) / "configs" / name);
  return ParseConfig(text.value(), name).value();
}

std::string Giga(int64_t value, int digits = 2) {
  return fmt::format("{:.{}f}", static_cast<double>(value) / 1e9, digits);
}

class Accounting : public ::testing::Test {
 protected:
  const ModelConfig flash = Load("flash.json");
  const ModelConfig pro = Load("pro.json");
};

TEST_F(Accounting, Parameters) {
  EXPECT_EQ(CountParameters(flash, DraftKind::kMtp).Total(), 290'942'289'362);
  EXPECT_EQ(CountParameters(pro, DraftKind::kMtp).Total(), 1'598'837'347'742);
  EXPECT_EQ(Giga(CountParameters(flash, DraftKind::kMtp).active, 3), "13.268");
  EXPECT_EQ(Giga(CountParameters(pro, DraftKind::kMtp).active, 3), "48.849");
  EXPECT_EQ(CountParameters(flash, DraftKind::kNone).draft, 0);
}

TEST_F(Accounting, BytesPerRow) {
  EXPECT_EQ(KvRowBytes(flash, KvFormat::kPacked), 584);
  EXPECT_EQ(KvRowBytes(flash, KvFormat::kBf16), 1024);
  EXPECT_EQ(IndexKeyBytes(flash, KvFormat::kPacked), 68);
  EXPECT_EQ(IndexKeyBytes(flash, KvFormat::kPackedFp8Keys), 132);
  EXPECT_EQ(IndexKeyBytes(flash, KvFormat::kBf16), 256);
}

struct KvRow {
  int64_t tokens;
  int64_t flash[3];  // by KvFormat
  int64_t pro[3];
  int64_t v32[2];  // packed, BF16
};
constexpr KvRow kKvTable[] = {
    {1'024,
     {6'812'928, 7'156'992, 12'681'216},
     {9'712'064, 10'203'584, 18'079'744},
     {49'221'632, 87'949'312}},
    {4'096,
     {17'608'704, 18'984'960, 33'816'576},
     {25'168'640, 27'134'720, 48'332'800},
     {196'886'528, 351'797'248}},
    {32'768,
     {118'369'280, 129'379'328, 231'079'936},
     {169'430'016, 185'158'656, 330'694'656},
     {1'575'092'224, 2'814'377'984}},
    {65'536,
     {233'524'224, 255'544'320, 456'523'776},
     {334'300'160, 365'757'440, 653'393'920},
     {3'150'184'448, 5'628'755'968}},
    {131'072,
     {463'834'112, 507'874'304, 907'411'456},
     {664'040'448, 726'955'008, 1'298'792'448},
     {6'300'368'896, 11'257'511'936}},
    {262'144,
     {924'453'888, 1'012'534'272, 1'809'186'816},
     {1'323'521'024, 1'449'350'144, 2'589'589'504},
     {12'600'737'792, 22'515'023'872}},
    {524'288,
     {1'845'693'440, 2'021'854'208, 3'612'737'536},
     {2'642'482'176, 2'894'140'416, 5'171'183'616},
     {25'201'475'584, 45'030'047'744}},
    {1'048'576,
     {3'688'172'544, 4'040'494'080, 7'219'838'976},
     {5'280'404'480, 5'783'720'960, 10'334'371'840},
     {50'402'951'168, 90'060'095'488}},
};

TEST_F(Accounting, KvBytes) {
  constexpr KvFormat kFormats[] = {KvFormat::kPacked, KvFormat::kPackedFp8Keys, KvFormat::kBf16};
  for (const KvRow& row : kKvTable) {
    SCOPED_TRACE(row.tokens);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(KvBytes(flash, kFormats[i], row.tokens), row.flash[i]);
      EXPECT_EQ(KvBytes(pro, kFormats[i], row.tokens), row.pro[i]);
    }
    EXPECT_EQ(V32KvBytes(KvFormat::kPacked, row.tokens), row.v32[0]);
    EXPECT_EQ(V32KvBytes(KvFormat::kBf16, row.tokens), row.v32[1]);
  }
}

TEST_F(Accounting, ConstantState) {
  EXPECT_EQ(WindowBytes(flash, KvFormat::kPacked), 3'214'336);
  EXPECT_EQ(WindowBytes(pro, KvFormat::kPacked), 4'559'872);
  EXPECT_EQ(WindowBytes(flash, KvFormat::kBf16), 5'636'096);
  EXPECT_EQ(WindowBytes(pro, KvFormat::kBf16), 7'995'392);
  EXPECT_EQ(CompressorBufferBytes(flash), 12'206'080);
  EXPECT_EQ(CompressorBufferBytes(pro), 18'710'528);
  struct Row {
    int64_t tokens, flash, flash_snapshot, pro, pro_snapshot;
  };
  constexpr Row kRows[] = {{1280, 430'080, 3'619'304, 614'400, 5'138'648},
                           {1281, 727'040, 3'916'264, 1'048'576, 5'572'824},
                           {1407, 11'479'040, 14'668'264, 17'661'952, 22'186'200}};
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.tokens);
    EXPECT_EQ(CompressorStateBytes(flash, row.tokens), row.flash);
    EXPECT_EQ(SnapshotBytes(flash, KvFormat::kPacked, row.tokens), row.flash_snapshot);
    EXPECT_EQ(CompressorStateBytes(pro, row.tokens), row.pro);
    EXPECT_EQ(SnapshotBytes(pro, KvFormat::kPacked, row.tokens), row.pro_snapshot);
  }
}

struct FlopRow {
  int64_t tokens;
  const char* flash;  // linear + CSA + HCA + SWA + indexer = total
  const char* pro;    // linear + CSA + HCA + indexer = total
  const char* v32;    // linear + attention + indexer = total
};
constexpr FlopRow kFlopTable[] = {
    {4'096, "26.54 + 1.76 + 0.42 + 0.03 + 0.35 = 29.10", "97.70 + 9.06 + 1.30 + 0.50 = 108.56",
     "74.95 + 34.80 + 4.09 = 113.84"},
    {32'768, "26.54 + 1.76 + 1.01 + 0.03 + 2.82 = 32.16", "97.70 + 9.06 + 3.12 + 4.03 = 113.91",
     "74.95 + 34.80 + 32.75 = 142.50"},
    {65'536, "26.54 + 1.76 + 1.68 + 0.03 + 5.64 = 35.65", "97.70 + 9.06 + 5.20 + 8.05 = 120.01",
     "74.95 + 34.80 + 65.50 = 175.25"},
    {131'072, "26.54 + 1.76 + 3.02 + 0.03 + 11.27 = 42.63", "97.70 + 9.06 + 9.36 + 16.11 = 132.23",
     "74.95 + 34.80 + 131.00 = 240.74"},
    {262'144, "26.54 + 1.76 + 5.70 + 0.03 + 22.55 = 56.58", "97.70 + 9.06 + 17.68 + 32.21 = 156.65",
     "74.95 + 34.80 + 261.99 = 371.74"},
    {524'288, "26.54 + 1.76 + 11.07 + 0.03 + 45.10 = 84.50",
     "97.70 + 9.06 + 34.33 + 64.42 = 205.51", "74.95 + 34.80 + 523.99 = 633.73"},
    {1'048'576, "26.54 + 1.76 + 21.81 + 0.03 + 90.19 = 140.34",
     "97.70 + 9.06 + 67.61 + 128.85 = 303.22", "74.95 + 34.80 + 1047.97 = 1157.72"},
};

TEST_F(Accounting, Flops) {
  const int64_t flash_active = CountParameters(flash, DraftKind::kNone).active;
  const int64_t pro_active = CountParameters(pro, DraftKind::kNone).active;
  for (const FlopRow& row : kFlopTable) {
    SCOPED_TRACE(row.tokens);
    const FlopCount f = CountFlops(flash, flash_active, row.tokens);
    EXPECT_EQ(fmt::format("{} + {} + {} + {} + {} = {}", Giga(f.linear), Giga(f.csa), Giga(f.hca),
                          Giga(f.swa), Giga(f.indexer), Giga(f.Total())),
              row.flash);
    const FlopCount p = CountFlops(pro, pro_active, row.tokens);
    EXPECT_EQ(p.swa, 0);
    EXPECT_EQ(fmt::format("{} + {} + {} + {} = {}", Giga(p.linear), Giga(p.csa), Giga(p.hca),
                          Giga(p.indexer), Giga(p.Total())),
              row.pro);
    const V32FlopCount v = CountV32Flops(row.tokens);
    EXPECT_EQ(fmt::format("{} + {} + {} = {}", Giga(v.linear), Giga(v.attention), Giga(v.indexer),
                          Giga(v.Total())),
              row.v32);
  }
}

}  // namespace
}  // namespace dsv
