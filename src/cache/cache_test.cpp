// Stored rows: their formats, the blocks that hold them, slots of WindowRing, and the bytes of the
// full-size models.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "cache/row_blocks.h"
#include "cache/window_ring.h"
#include "checkpoint/accounting.h"
#include "checkpoint/published_models.h"
#include "kernels/kernels.h"
#include "kernels/quant.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomFloats;

using Floats = std::vector<float>;

const Kernels& TestKernels() { return **SelectKernels(""); }

constexpr int64_t kRotated = 64;

// A row as the compressor makes it, of magnitude around 2^exponent.
Floats MainRow(int64_t width, uint32_t seed, int exponent) {
  Floats row = RandomFloats(static_cast<size_t>(width), seed);
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] = RoundBf16(std::ldexp(row[i], exponent - static_cast<int>(i % 11)));
  }
  SimulateFp8(kScalarKernels, row.data(), width - kRotated);
  return row;
}

Floats KeyRow(int64_t width, uint32_t seed, int exponent) {
  Floats row = RandomFloats(static_cast<size_t>(width), seed);
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] = RoundBf16(std::ldexp(row[i], exponent - static_cast<int>(i % 5)));
  }
  SimulateFp4(kScalarKernels, row.data(), width);
  return row;
}

void ExpectSameBits(const Floats& got, const Floats& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i])) << i;
  }
}

Floats ThroughStorage(const RowFormat& format, const Floats& row) {
  std::vector<std::byte> stored(static_cast<size_t>(format.bytes()));
  format.Pack(row.data(), stored.data());
  Floats back(row.size());
  format.Unpack(TestKernels(), stored.data(), back.data());
  return back;
}

TEST(RowFormat, HasTheBytesOfTheSpecification) {
  EXPECT_EQ(RowFormat::Main(Precision::kReference, 512, 64).bytes(), 584);
  EXPECT_EQ(RowFormat::IndexKey(Precision::kReference, 128).bytes(), 68);
  EXPECT_EQ(RowFormat::Main(Precision::kF32, 512, 64).bytes(), 2048);
  EXPECT_EQ(RowFormat::IndexKey(Precision::kF32, 128).bytes(), 512);
}

TEST(RowFormat, PackingLosesNothing) {
  for (const int64_t width : {66, 128, 200, 512}) {
    const RowFormat format = RowFormat::Main(Precision::kReference, width, kRotated);
    for (uint32_t seed = 0; seed < 40; ++seed) {
      const Floats row = MainRow(width, seed, static_cast<int>(seed) * 3 - 60);
      ExpectSameBits(ThroughStorage(format, row), row);
    }
  }
  for (const int64_t width : {32, 64, 128, 256}) {
    const RowFormat format = RowFormat::IndexKey(Precision::kReference, width);
    for (uint32_t seed = 0; seed < 40; ++seed) {
      const Floats row = KeyRow(width, seed, static_cast<int>(seed) * 5 - 120);
      ExpectSameBits(ThroughStorage(format, row), row);
    }
  }
}

TEST(RowFormat, KeepsSignedZerosTheSmallestAndTheLargest) {
  Floats row(512, -0.0F);
  row[1] = 448.0F * 1024;  // the largest of its block
  row[2] = 0x1p-9F * 1024;
  row[64] = 0x1p-31F;  // the smallest: scale 2^-22, subnormal 2^-9
  row[65] = 0.0F;
  row[511] = -0x1p-133F;  // a bf16 subnormal
  Floats simulated = row;
  SimulateFp8(kScalarKernels, simulated.data(), 448);
  ASSERT_EQ(simulated, row);
  ExpectSameBits(ThroughStorage(RowFormat::Main(Precision::kReference, 512, 64), row), row);
  Floats key(128, -0.0F);
  ExpectSameBits(ThroughStorage(RowFormat::IndexKey(Precision::kReference, 128), key), key);
}

TEST(RowFormat, NotANumberStaysOne) {
  Floats row(128, 1.0F);
  row[3] = std::numeric_limits<float>::quiet_NaN();
  const Floats back = ThroughStorage(RowFormat::Main(Precision::kReference, 128, 64), row);
  EXPECT_TRUE(std::isnan(back[3]));
}

struct Stores {
  explicit Stores(Precision precision)
      : row_area(layout.Add(RowFormat::Main(precision, 128, kRotated), 4)),
        key_area(layout.Add(RowFormat::IndexKey(precision, 32), 4)),
        blocks(layout.bytes()),
        rows(blocks, row_area),
        keys(blocks, key_area) {}

  // The rows and keys of tokens [tokens, end).
  void Grow(int64_t end) {
    std::vector<int32_t> ids;
    for (int64_t t = blocks.tokens(); t < end; ++t) {
      ids.push_back(static_cast<int32_t>(t));
      if (t % 4 != 3) continue;
      rows.Append(MainRow(128, static_cast<uint32_t>(t), 0).data());
      keys.Append(KeyRow(32, static_cast<uint32_t>(t), 0).data());
    }
    blocks.Advance(ids);
  }
  static void ExpectRows(const RowStore& rows, const RowStore& keys, int64_t count) {
    ASSERT_EQ(rows.size(), count);
    Floats row(128);
    Floats key(32);
    for (int64_t i = 0; i < count; ++i) {
      rows.format().Unpack(TestKernels(), rows.Stored(i), row.data());
      keys.format().Unpack(TestKernels(), keys.Stored(i), key.data());
      ExpectSameBits(row, MainRow(128, static_cast<uint32_t>(4 * i + 3), 0));
      ExpectSameBits(key, KeyRow(32, static_cast<uint32_t>(4 * i + 3), 0));
    }
  }

  BlockLayout layout;
  RowArea row_area;
  RowArea key_area;
  RowBlocks blocks;
  RowStore rows;
  RowStore keys;
};

class Stored : public ::testing::TestWithParam<Precision> {};

TEST_P(Stored, BlocksKeepEveryRowHoweverTheyGrow) {
  for (const int64_t step : {1, 7, 128, 300}) {
    Stores stores(GetParam());
    for (int64_t end = step; end <= 900; end += step) {
      stores.Grow(end);
      ASSERT_EQ(stores.blocks.tokens(), end);
      ASSERT_EQ(std::ssize(stores.blocks.full()), end / 128);
    }
    Stores::ExpectRows(stores.rows, stores.keys, stores.blocks.tokens() / 4);
    for (const auto& block : stores.blocks.full()) EXPECT_EQ(block->tokens[1] % 128, 1);
  }
}

TEST_P(Stored, CopiesGoTheirOwnWay) {
  for (const int64_t tokens : {0, 5, 128, 260, 383}) {
    Stores stores(GetParam());
    stores.Grow(tokens);
    RowBlocks copy = stores.blocks.Copy();
    RowStore rows = stores.rows.In(copy);
    RowStore keys = stores.keys.In(copy);
    stores.Grow(tokens + 200);
    // The copy gets other rows in the place of those.
    const int64_t count = rows.size();
    for (int64_t t = tokens; t < tokens + 200; ++t) {
      if (t % 4 != 3) continue;
      rows.Append(MainRow(128, 1, 3).data());
      keys.Append(KeyRow(32, 1, 3).data());
    }
    copy.Advance(std::vector<int32_t>(200, 9));
    Stores::ExpectRows(stores.rows, stores.keys, (tokens + 200) / 4);
    Floats row(128);
    for (int64_t i = count; i < rows.size(); ++i) {
      rows.format().Unpack(TestKernels(), rows.Stored(i), row.data());
      ExpectSameBits(row, MainRow(128, 1, 3));
    }
    for (int64_t i = 0; i < tokens / 128; ++i) {
      EXPECT_EQ(copy.full()[static_cast<size_t>(i)], stores.blocks.full()[static_cast<size_t>(i)]);
    }
  }
}

// Any part of a row, as floats and in bf16, is that part of the whole.
TEST(RowFormat, PartsAreThoseOfTheRow) {
  const Kernels& kernels = TestKernels();
  for (const int64_t width : {64, 96, 128, 192, 512}) {
    const RowFormat format = RowFormat::Main(Precision::kReference, width, kRotated);
    const Floats row = MainRow(width, 1, 0);
    std::vector<std::byte> stored(static_cast<size_t>(format.bytes()));
    format.Pack(row.data(), stored.data());
    for (int64_t begin = 0; begin < width; begin += 64) {
      for (int64_t end = begin + 64; end < width + 64; end += 64) {
        const int64_t last = std::min(end, width);
        const Floats part(row.begin() + begin, row.begin() + last);
        Floats values(part.size());
        format.UnpackPart(kernels, stored.data(), begin, last, values.data());
        ExpectSameBits(values, part);
        if (kernels.bf16 == nullptr) continue;
        std::vector<uint16_t> bits(part.size() + 31);
        format.UnpackPart(*kernels.bf16, stored.data(), begin, last, bits.data());
        for (size_t i = 0; i < part.size(); ++i) ASSERT_EQ(bits[i], FloatToBf16(part[i])) << i;
      }
    }
  }
}

TEST_P(Stored, WindowRingKeepsTheLastPositions) {
  constexpr int64_t kWindow = 7;
  constexpr int64_t kWidth = 128;
  WindowRing ring(kWindow, RowFormat::Main(GetParam(), kWidth, kRotated));
  for (int64_t position = 0; position < 40; ++position) {
    ring.Write(position, MainRow(kWidth, static_cast<uint32_t>(position), 0).data());
    for (int64_t p = std::max<int64_t>(0, position - kWindow + 1); p <= position; ++p) {
      Floats row(kWidth);
      ring.format().Unpack(TestKernels(), ring.Stored(p), row.data());
      ExpectSameBits(row, MainRow(kWidth, static_cast<uint32_t>(p), 0));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, Stored,
                         ::testing::Values(Precision::kReference, Precision::kF32));

// What the allocator gives for the rows stays within 5 % of the formula of spec 12.2; the windows
// are allocated as a whole.
TEST(BlockLayout, FullSizeSessionsHoldTheFormula) {
  for (const bool pro : {false, true}) {
    const ModelConfig config = pro ? ProConfig() : FlashConfig();
    const BlockLayout layout(config, Precision::kReference);
    EXPECT_EQ(layout.bytes(), pro ? 644024 : 449824);
    EXPECT_EQ(layout.parts().front(), 0);
    EXPECT_EQ(layout.parts().back(), layout.bytes());
    EXPECT_EQ(std::ssize(layout.parts()), 2 + (pro ? 30 : 21));
    RowBlocks blocks(layout.bytes());
    for (const int64_t tokens : {65536, 65536 + 1, 131072}) {
      while (blocks.tokens() < tokens) {
        const int64_t next = std::min<int64_t>(tokens - blocks.tokens(), 128);
        if (next < 128) blocks.Write(std::ssize(blocks.full()));
        blocks.Advance(std::vector<int32_t>(static_cast<size_t>(next)));
      }
      const auto held =
          static_cast<double>(blocks.Bytes() + WindowBytes(config, KvFormat::kPacked));
      const auto formula = static_cast<double>(KvBytes(config, KvFormat::kPacked, tokens));
      EXPECT_GE(held, formula);
      EXPECT_LE(held, 1.01 * formula) << tokens;
    }
  }
}

}  // namespace
}  // namespace dsv
