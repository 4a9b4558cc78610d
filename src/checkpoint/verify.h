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

// The rows of tid2eid alone, which routing takes as indices. The error names the first bad one.
Status CheckTokenTables(const ModelConfig& config, const Checkpoint& checkpoint);

}  // namespace dsv
