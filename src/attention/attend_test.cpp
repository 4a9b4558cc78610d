// Attention over window rows and compressed rows: against the plain reference in double, for shapes
// that the fixture models do not have, and the law that a query's result has the same bits alone,
// among others and on any number of threads.
#include "attention/attend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/quant.h"
#include "kernels/reference/reference.h"
#include "support/random_values.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

using testing::RandomFloats;
using testing::ToDouble;

using Floats = std::vector<float>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Context {
  explicit Context(Precision precision, int64_t threads = 2)
      : pool(threads), op{**SelectKernels(ForcedIsa()), pool, precision} {}
  ThreadPool pool;
  OpContext op;
};

struct Shape {
  LayerKind kind;
  int64_t heads;
  int64_t head_dim;
  int64_t rotated;
  int64_t window;
  int64_t chosen;  // CSA: compressed rows of a query, if as many are visible
};

// A segment of `queries` queries behind the state of `position` tokens.
class SegmentOfQueries {
 public:
  SegmentOfQueries(const Shape& shape, Precision precision, int64_t position, int64_t queries)
      : shape_(shape),
        precision_(precision),
        position_(position),
        queries_(queries),
        format_(RowFormat::Main(precision, shape.head_dim, shape.rotated)),
        area_(layout_.Add(format_, ratio())),
        blocks_(layout_.bytes()) {
    config_.num_attention_heads = shape.heads;
    config_.head_dim = shape.head_dim;
    config_.qk_rope_head_dim = shape.rotated;
    config_.sliding_window = shape.window;
    config_.index_topk = shape.chosen;
    const int64_t all = position + queries;
    window_ = Rows(all, 1);
    compressed_ = Rows(shape.kind == LayerKind::kSwa ? 0 : all / ratio(), 2);
    q_ = RandomFloats(static_cast<size_t>(queries * width()), 3);
    for (float& value : q_) value = RoundBf16(value * 4);
    sink_ = RandomFloats(static_cast<size_t>(shape.heads), 4);
    for (int64_t t = 0; t < queries; ++t) selected_.push_back(Select(t));
  }

  int64_t queries() const { return queries_; }
  int64_t width() const { return shape_.heads * shape_.head_dim; }
  float* WindowRow(int64_t position) { return window_.data() + position * shape_.head_dim; }
  float* CompressedRow(int64_t i) { return compressed_.data() + i * shape_.head_dim; }
  Floats& sink() { return sink_; }

  // Queries [first, end) in one segment, behind a ring that has seen what lies before.
  Floats Attend(const Context& context, int64_t first, int64_t end) {
    LayerState state = State(position_ + first, position_ + end);
    Floats out(static_cast<size_t>((end - first) * width()), kNan);
    dsv::Attend(context.op,
                {.config = config_,
                 .kind = shape_.kind,
                 .state = state,
                 .position = position_ + first,
                 .queries = end - first,
                 .q = q_.data() + first * width(),
                 .window_rows = WindowRow(position_ + first),
                 .sink = sink_.data(),
                 .selected = shape_.kind == LayerKind::kCsa ? selected_.data() + first : nullptr,
                 .out = out.data()});
    return out;
  }

  // Of query t, [heads, head_dim], with the largest magnitude of its rows' components.
  reference::Matrix<double> Expected(int64_t t) {
    reference::Matrix<double> rows;
    const int64_t position = position_ + t;
    for (int64_t p = std::max<int64_t>(0, position - shape_.window + 1); p <= position; ++p) {
      rows.push_back(RowOf(WindowRow(p)));
    }
    for (const int64_t i : Attended(t)) rows.push_back(RowOf(CompressedRow(i)));
    reference::Matrix<double> q;
    for (int64_t h = 0; h < shape_.heads; ++h) {
      q.push_back(RowOf(q_.data() + t * width() + h * shape_.head_dim));
    }
    return reference::SparseAttention(q, rows, ToDouble(sink_));
  }

 private:
  int64_t ratio() const { return shape_.kind == LayerKind::kHca ? 128 : 4; }
  int64_t Visible(int64_t t) const {
    return shape_.kind == LayerKind::kSwa ? 0 : (position_ + t + 1) / ratio();
  }

  Floats Rows(int64_t count, uint32_t seed) const {
    const int64_t c = shape_.head_dim;
    Floats rows = RandomFloats(static_cast<size_t>(count * c), seed);
    for (float& value : rows) value = RoundBf16(value * 2);
    for (int64_t i = 0; i < count && precision_ == Precision::kReference; ++i) {
      SimulateFp8(**SelectKernels(ForcedIsa()), rows.data() + i * c, c - shape_.rotated);
    }
    return rows;
  }

  std::vector<int64_t> Select(int64_t t) const {
    std::vector<int64_t> chosen;
    const int64_t visible = Visible(t);
    const int64_t step = std::max<int64_t>(1, visible / std::max<int64_t>(shape_.chosen, 1));
    for (int64_t i = t % step; i < visible && std::ssize(chosen) < shape_.chosen; i += step) {
      chosen.push_back(i);
    }
    return chosen;
  }

  std::vector<int64_t> Attended(int64_t t) const {
    if (shape_.kind == LayerKind::kCsa) return selected_[static_cast<size_t>(t)];
    std::vector<int64_t> all;
    for (int64_t i = 0; i < Visible(t); ++i) all.push_back(i);
    return all;
  }

  reference::Vector<double> RowOf(const float* row) const {
    return {row, row + shape_.head_dim};
  }

  // The ring at `position`, the compressed rows at `end`.
  LayerState State(int64_t position, int64_t end) {
    RowStore rows(blocks_, area_);
    rows.Resume(0);
    LayerState state{WindowRing(shape_.window, format_), rows, {}, {}, {}};
    for (int64_t p = std::max<int64_t>(0, position - shape_.window); p < position; ++p) {
      state.window.Write(p, WindowRow(p));
    }
    for (int64_t i = 0; shape_.kind != LayerKind::kSwa && i < end / ratio(); ++i) {
      state.rows->Append(CompressedRow(i));
    }
    return state;
  }

  Shape shape_;
  Precision precision_;
  int64_t position_;
  int64_t queries_;
  RowFormat format_;
  BlockLayout layout_;
  RowArea area_;
  RowBlocks blocks_;
  ModelConfig config_;
  Floats window_;
  Floats compressed_;
  Floats q_;
  Floats sink_;
  std::vector<std::vector<int64_t>> selected_;
};

void ExpectReference(const Shape& shape, int64_t position, int64_t queries) {
  for (const Precision precision : {Precision::kF32, Precision::kReference}) {
    SegmentOfQueries segment(shape, precision, position, queries);
    const Context context(precision);
    const Floats out = segment.Attend(context, 0, queries);
    // In reference precision p and the result are rounded to bf16: 2^-9 of values up to 2 each.
    const double tolerance = precision == Precision::kF32 ? 4e-6 : 0.01;
    for (int64_t t = 0; t < queries; ++t) {
      const auto expected = segment.Expected(t);
      for (int64_t i = 0; i < segment.width(); ++i) {
        const float got = out[static_cast<size_t>(t * segment.width() + i)];
        const double wanted = expected[static_cast<size_t>(i / shape.head_dim)]
                                      [static_cast<size_t>(i % shape.head_dim)];
        ASSERT_NEAR(got, wanted, tolerance)
            << "head_dim " << shape.head_dim << ", " << shape.heads << " heads, position "
            << position + t << ", element " << i;
        ASSERT_TRUE(precision == Precision::kF32 || got == RoundBf16(got));
      }
    }
  }
}

TEST(Attend, EqualsTheReferenceForEveryNumberOfHeads) {
  for (const int64_t heads : {1, 2, 3, 5, 8, 11, 15, 16, 17, 33, 64}) {
    ExpectReference({LayerKind::kCsa, heads, 128, 64, 40, 37}, 300, 1);
  }
}

TEST(Attend, EqualsTheReferenceForEveryWidth) {
  for (const int64_t head_dim : {65, 97, 128, 144, 160, 192, 320, 512}) {
    ExpectReference({LayerKind::kCsa, 3, head_dim, 64, 40, 70}, 300, 2);
    ExpectReference({LayerKind::kHca, 2, head_dim, 64, 16, 0}, 1500, 2);
  }
}

TEST(Attend, EqualsTheReferenceForEveryNumberOfRows) {
  for (int64_t position = 0; position <= 70; ++position) {
    ExpectReference({LayerKind::kSwa, 2, 128, 64, 128, 0}, position, 1);
  }
  for (int64_t chosen = 0; chosen <= 70; ++chosen) {
    ExpectReference({LayerKind::kCsa, 2, 128, 64, 8, chosen}, 300, 1);
  }
  // Chunks of 256 rows that are full, begun and exceeded, of the window as well.
  for (const int64_t chosen : {255, 256, 257, 600}) {
    ExpectReference({LayerKind::kCsa, 2, 128, 64, 300, chosen}, 2500, 1);
  }
}

// All cuts of a segment, among them single queries that the threads share.
void ExpectSameBits(const Shape& shape, Precision precision, int64_t position, int64_t queries) {
  SegmentOfQueries segment(shape, precision, position, queries);
  const Context one(precision, 1);
  const Floats whole = segment.Attend(one, 0, queries);
  for (const float value : whole) ASSERT_TRUE(std::isfinite(value));
  for (const int64_t threads : {1, 2, 5}) {
    const Context context(precision, threads);
    for (const int64_t step : {int64_t{1}, int64_t{2}, int64_t{7}, queries}) {
      for (int64_t first = 0; first < queries; first += step) {
        const int64_t end = std::min(first + step, queries);
        const Floats piece = segment.Attend(context, first, end);
        const auto at = whole.begin() + first * segment.width();
        ASSERT_TRUE(std::equal(piece.begin(), piece.end(), at))
            << threads << " threads, queries " << first << " to " << end;
      }
    }
  }
}

TEST(Attend, CutsAndThreadsChangeNoBit) {
  for (const Precision precision : {Precision::kReference, Precision::kF32}) {
    ExpectSameBits({LayerKind::kSwa, 3, 128, 64, 128, 0}, precision, 100, 40);
    ExpectSameBits({LayerKind::kCsa, 17, 128, 64, 100, 70}, precision, 390, 12);
    ExpectSameBits({LayerKind::kHca, 16, 192, 64, 32, 0}, precision, 128 * 70 - 9, 20);
    ExpectSameBits({LayerKind::kHca, 2, 97, 64, 300, 0}, precision, 128 * 3 - 9, 20);
  }
}

// More rows than logits are kept for, when queries share them.
TEST(Attend, LogitsThatAreNotKeptChangeNoBit) {
  for (const Precision precision : {Precision::kReference, Precision::kF32}) {
    ExpectSameBits({LayerKind::kHca, 512, 65 + 31, 64, 16, 0}, precision, 128 * 800 - 3, 9);
  }
}

// What comes after a query is not read, whatever it holds.
TEST(Attend, SeesNothingOfTheFuture) {
  for (const Precision precision : {Precision::kReference, Precision::kF32}) {
    for (const LayerKind kind : {LayerKind::kSwa, LayerKind::kHca}) {
      constexpr int64_t kPosition = 128 * 4 - 4;
      SegmentOfQueries segment({kind, 4, 128, 64, 128, 0}, precision, kPosition, 9);
      const Context context(precision, 1);
      const Floats before = segment.Attend(context, 0, 9);
      // Position 127 of a group sees its row.
      constexpr int64_t kClean = 3;
      std::fill_n(segment.WindowRow(kPosition + kClean) + 64, 64, kNan);
      if (kind == LayerKind::kHca) std::fill_n(segment.CompressedRow(3) + 64, 64, kNan);
      const Floats after = segment.Attend(context, 0, 9);
      const int64_t clean = kClean * segment.width();
      EXPECT_TRUE(std::equal(before.begin(), before.begin() + clean, after.begin()));
      for (size_t i = static_cast<size_t>(clean); i < after.size(); ++i) {
        ASSERT_TRUE(std::isnan(after[i])) << i;
      }
    }
  }
}

TEST(Attend, TakesSinksOfAnySize) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const Precision precision : {Precision::kReference, Precision::kF32}) {
    const Context context(precision);
    SegmentOfQueries segment({LayerKind::kSwa, 2, 128, 64, 128, 0}, precision, 0, 1);
    // A sink that overflows exp takes everything.
    segment.sink() = {1000, inf};
    for (const float value : segment.Attend(context, 0, 1)) EXPECT_EQ(value, 0.0F);
    // One that underflows takes nothing: with one row the output is that row.
    segment.sink() = {-1000, -inf};
    const Floats out = segment.Attend(context, 0, 1);
    for (int64_t i = 0; i < 256; ++i) {
      EXPECT_EQ(out[static_cast<size_t>(i)], segment.WindowRow(0)[i % 128]);
    }
  }
}

}  // namespace
}  // namespace dsv
