// Stored rows: extents of RowStore, slots of WindowRing, and what a session holds after N tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "cache/row_store.h"
#include "cache/window_ring.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomFloats;

std::vector<float> Row(int64_t index, int64_t width, Precision precision) {
  auto row = RandomFloats(static_cast<size_t>(width), static_cast<uint32_t>(index) + 1);
  if (precision == Precision::kReference) {
    for (float& value : row) value = RoundBf16(value);
  }
  return row;
}

class Stored : public ::testing::TestWithParam<Precision> {};

TEST_P(Stored, RowStoreKeepsEveryRow) {
  constexpr int64_t kWidth = 5;
  constexpr int64_t kRows = 700;  // several extents
  RowStore store(kWidth, GetParam());
  for (int64_t i = 0; i < kRows; ++i) {
    EXPECT_EQ(store.size(), i);
    store.Append(Row(i, kWidth, GetParam()).data());
  }
  EXPECT_EQ(store.width(), kWidth);
  EXPECT_EQ(store.Bytes(), kRows * kWidth * (GetParam() == Precision::kReference ? 2 : 4));
  for (const int64_t count : {1, 3, 300, 700}) {
    for (int64_t begin = 0; begin + count <= kRows; begin += 131) {
      std::vector<float> rows(static_cast<size_t>(count * kWidth));
      store.Read(begin, count, rows.data());
      for (int64_t i = 0; i < count; ++i) {
        const std::vector<float> got(rows.begin() + i * kWidth, rows.begin() + (i + 1) * kWidth);
        ASSERT_EQ(got, Row(begin + i, kWidth, GetParam())) << begin << " " << i;
      }
    }
  }
  store.Read(kRows, 0, nullptr);
}

TEST_P(Stored, WindowRingKeepsTheLastPositions) {
  constexpr int64_t kWindow = 7;
  constexpr int64_t kWidth = 9;
  WindowRing ring(kWindow, kWidth, GetParam());
  const int64_t bytes = ring.Bytes();
  for (int64_t position = 0; position < 40; ++position) {
    ring.Write(position, Row(position, kWidth, GetParam()).data());
    for (int64_t p = std::max<int64_t>(0, position - kWindow + 1); p <= position; ++p) {
      std::vector<float> row(kWidth);
      ring.Read(p, row.data());
      ASSERT_EQ(row, Row(p, kWidth, GetParam())) << p << " of " << position;
    }
  }
  EXPECT_EQ(ring.Bytes(), bytes);
}

INSTANTIATE_TEST_SUITE_P(Precisions, Stored,
                         ::testing::Values(Precision::kReference, Precision::kF32));

}  // namespace
}  // namespace dsv
