// Checks of a checkpoint that have to read its data.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "checkpoint/config.h"
#include "io/checkpoint.h"

namespace dsv {

// Called now and then, by the thread that verifies, with the bytes checked so far and of all.
using VerifyProgress = std::function<void(int64_t done, int64_t total)>;

// Looks in every tensor of the table that is present for NaN values, infinite scales, and rows of
// tid2eid with an id outside [0, E) or an id twice. One line per damaged tensor, naming the first
// bad index. Packed FP4 has no NaN and is not read.
std::vector<std::string> VerifyData(const ModelConfig& config, const Checkpoint& checkpoint,
                                    ThreadPool& pool, const VerifyProgress& progress);

// Only the small tensors that choose and leave no NaN in the logits when they are damaged: tid2eid,
// gate.bias and the scales of indexers. The error names the first bad one.
Status CheckSelection(const ModelConfig& config, const Checkpoint& checkpoint);

}  // namespace dsv
