// What this machine can do at best, measured: the roofs of every other figure.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "cli/bench/samples.h"

namespace dsv::cli {

// Operations per second of one kind, with the instruction set that reached it; a multiply-add is 2.
struct ComputeRoof {
  const char* isa = "";
  Samples rate;
};

struct MachineRoofs {
  int64_t threads = 1;
  Samples read;             // bytes per second from main memory
  int64_t read_streams = 0;  // of each thread, the best number
  bool read_prefetch = false;
  // One for each instruction set that has the operation, from the least to the best.
  std::vector<ComputeRoof> fp32;
  std::vector<ComputeRoof> bf16;
  std::vector<ComputeRoof> int8;

  double ReadRate() const { return read.Median(); }
};

// The greatest median, and that of one instruction set; 0 without one.
double BestRate(const std::vector<ComputeRoof>& roofs);
double RateOf(const std::vector<ComputeRoof>& roofs, const char* isa);

struct MachineOptions {
  int64_t read_bytes = int64_t{1} << 30;
  double seconds = 1;  // for all figures of one thread count, about
};

Result<MachineRoofs> MeasureMachine(ThreadPool& pool, const MachineOptions& options);
Json AsJson(const MachineRoofs& roofs);

// Model name of the processor, cores, instruction set in use, and what else a reader must know.
Json DescribeMachine(const char* isa);

}  // namespace dsv::cli
