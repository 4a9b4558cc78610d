// What this machine can do at best, measured: the roofs of every other figure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "cli/bench/huge_buffer.h"
#include "cli/bench/samples.h"
#include "kernels/peaks.h"

namespace dsv::cli {

// Operations per second of one kind of one instruction set; a multiply-add is 2.
struct ComputeRoof {
  const PeakKernels* isa = nullptr;
  const PeakLoop* loop = nullptr;
  Samples rate;
};

// With one number of threads.
struct MachineRoofs {
  int64_t threads = 1;
  Samples read;              // bytes per second from main memory
  int64_t read_streams = 1;  // of each thread; the best number and the best prefetch
  int64_t read_prefetch = 0;
  // One for each instruction set that has the operation, from the least to the best.
  std::vector<ComputeRoof> fp32;
  std::vector<ComputeRoof> bf16;
  std::vector<ComputeRoof> int8;

  double ReadRate() const { return read.Median(); }
};

// The greatest median of the sets up to `isa`, a name of Kernels, or of all if it is empty; 0 if
// there is none.
double BestRate(const std::vector<ComputeRoof>& roofs, std::string_view isa = "");

class Machine {
 public:
  // Reads `read_bytes` of memory to measure its bandwidth.
  static Result<Machine> Make(int64_t read_bytes);

  // `seconds` for all loops together, about.
  MachineRoofs Measure(ThreadPool& pool, double seconds) const;

  // Measures reading and the best bf16 loop again, beside a figure: neighbours on a shared machine
  // come and go.
  void Refresh(ThreadPool& pool, MachineRoofs& roofs) const;

 private:
  double ReadRate(ThreadPool& pool, const MachineRoofs& way) const;

  const PeakKernels* reader_ = nullptr;
  HugeBuffer buffer_;
};

Json AsJson(const MachineRoofs& roofs);

// Name of the processor, its threads and the instruction set in use.
Json DescribeMachine(const char* isa);

}  // namespace dsv::cli
