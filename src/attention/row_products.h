// The two products of attention, queries with rows and weights with rows, and the softmax between
// them (spec 3.9), for the heads of one query.
//
// In reference precision queries, rows and rounded weights are bf16 values, so both products are
// those of bf16 where the instruction set has them (and head_dim is a multiple of 32); otherwise
// they are products of floats. Sums run over blocks of kBlock rows of the query's list, ascending;
// a block that is not full ends in rows of zeros. So a result depends on the list alone, not on how
// rows and columns are cut into calls.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cache/row_format.h"
#include "kernels/context.h"

namespace dsv {

class RowProducts {
 public:
  static constexpr int64_t kBlock = 32;
  static constexpr int64_t kChunk = 256;  // rows whose weights are kept together

  RowProducts(const OpContext& context, int64_t heads, int64_t head_dim);

  int64_t heads() const { return heads_; }
  int64_t head_dim() const { return head_dim_; }
  int64_t stride() const { return stride_; }  // floats between the logits of two rows
  int64_t element_bytes() const { return bf16_ != nullptr ? 2 : 4; }
  int64_t row_bytes() const { return head_dim_ * element_bytes(); }  // of an expanded row
  int64_t query_bytes() const { return bf16_ != nullptr ? stride_ * head_dim_ * 2 : 0; }
  int64_t weights_bytes() const { return bf16_ != nullptr ? heads_ * kChunk * 2 : 0; }  // of a chunk

  // q [heads, head_dim] as the products take it; float products take it as it is.
  struct Query {
    const float* q;
    std::byte* packed;  // [query_bytes]
  };
  void PackQuery(const Query& query) const;

  // Components [begin, end) of a packed row, begin and end as in RowFormat::UnpackPart; of a row of
  // floats, all of it. `row` has room up to the next multiple of 32 components.
  void Expand(const RowFormat& format, const std::byte* stored, int64_t begin, int64_t end,
              std::byte* row) const;
  void Convert(const float* values, std::byte* row) const;

  // logits[r][h] for `count` expanded rows, unscaled; max[h] grows to the largest of them.
  void Logits(const Query& query, const std::byte* rows, int64_t count, float* logits,
              float* max) const;

  // Weights of up to kChunk rows. Float products find them where the logits were.
  struct Weights {
    float* logits;    // [rows, stride]
    std::byte* bf16;  // [heads, kChunk]
  };
  // Of `count` rows from row `first` of the chunk on, a multiple of kBlock, count at most kBlock;
  // sum[h] is what they add to the denominator.
  void Weigh(const Weights& chunk, int64_t first, int64_t count, const float* max,
             float* sum) const;

  // Whether the second product takes rows in an order of its own.
  bool arranges() const { return bf16_ != nullptr; }
  // Expanded rows in the order in which the second product takes them.
  struct Values {
    const std::byte* data;
    int64_t columns;  // of a row
  };
  // [count, columns] of rows that are row_columns apart. Uses `space` or refers to the rows.
  Values Arrange(const std::byte* rows, int64_t row_columns, int64_t count, int64_t columns,
                 std::byte* space) const;
  // Some heads, and columns [begin, end) of the result.
  struct Part {
    int64_t first_head;
    int64_t end_head;
    int64_t begin;
    int64_t end;
  };
  // out [heads, head_dim] += weights * values for `count` rows; `first` is the column of the result
  // where the values begin. The first chunk of all overwrites out.
  void AddValues(const Weights& chunk, const Values& values, int64_t count, int64_t first,
                 const Part& part, bool is_first, float* out) const;
  // sum is [heads], of all weights.
  void Finish(const Part& part, const float* sum, const float* max, const float* sink,
              float* out) const;

 private:
  const OpContext& context_;
  const Bf16Kernels* bf16_;
  int64_t heads_;
  int64_t head_dim_;
  int64_t stride_;
  float scale_;
};

}  // namespace dsv
