// What a token of a Flash-shaped model must read and multiply, by operator.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "checkpoint/config.h"
#include "io/checkpoint.h"

namespace dsv::cli {

// Names are those of kOperationTimes.
using OperatorAmounts = std::map<std::string, int64_t>;
int64_t Sum(const OperatorAmounts& amounts);

// Stored bytes that decoding one token reads from the weights of a layer, or after the layers
// ("head"): of the experts those that are chosen.
OperatorAmounts LayerWeightBytes(const ModelConfig& config, const Checkpoint& checkpoint,
                                 int64_t layer);
OperatorAmounts HeadWeightBytes(const Checkpoint& checkpoint);

// Rows of the context that one token at `position` reads in a layer of this kind, each once.
struct RowsRead {
  int64_t window = 0;
  int64_t compressed = 0;
  int64_t keys = 0;  // none while all rows are attended anyway
};
RowsRead RowsAt(const ModelConfig& config, LayerKind kind, int64_t position);
OperatorAmounts RowBytes(const ModelConfig& config, LayerKind kind, int64_t position);

// Multiply-adds of tokens [begin, end) in one layer.
struct MultiplyAdds {
  int64_t linear = 0;
  int64_t attention = 0;
  int64_t index_scan = 0;  // of bytes
};
MultiplyAdds LayerMultiplyAdds(const ModelConfig& config, int64_t layer, int64_t begin,
                               int64_t end);

}  // namespace dsv::cli
