// One query on all threads: its rows are shared out for the first product, columns and heads of the
// result for the second.
#pragma once

#include <cstdint>

#include "attention/segment_queries.h"

namespace dsv {

// Whether the logits and weights of the query fit what a pass keeps of them.
bool FitsTogether(const SegmentQueries& queries, int64_t index);
void AttendTogether(const SegmentQueries& queries, int64_t index);

}  // namespace dsv
