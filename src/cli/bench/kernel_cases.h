// What `dsv4 bench kernels` measures: operators of the model in its exact shapes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "kernels/context.h"

namespace dsv::cli {

// What the multiply-adds of an operator may be done with.
enum class Arithmetic : uint8_t { kFp32, kBf16, kInt8 };

struct KernelCase {
  std::string op;
  std::string format;  // of the weight, "" without one
  std::string shape;
  int64_t rows = 1;
  int64_t bytes = 0;  // that must be read: weights, rows of the context
  int64_t multiply_adds = 0;
  Arithmetic arithmetic = Arithmetic::kFp32;
  // Runs the operator once and says how many seconds it took. Calls read weights that no call
  // shortly before has read.
  std::function<double(const OpContext&)> run;
};

struct KernelCaseOptions {
  std::vector<int64_t> rows = {1, 16, 48, 512};
  std::vector<int64_t> keys = {65536, 262144};  // of index scans
  int64_t weight_bytes = int64_t{1} << 30;      // that calls take turns in
  int64_t scale = 1;     // products are that much smaller in each direction, for tests
  int64_t experts = 64;  // of the layers, of which only the router is measured
};

// Calls visit(case) for every case; what a case needs lives only during the visit.
using KernelCaseVisitor = std::function<void(const KernelCase&)>;
Status ForEachLinearCase(const KernelCaseOptions& options, ThreadPool& pool,
                         const KernelCaseVisitor& visit);
// Index scan and attention over rows of the context; quantisers, norms, hyper-connections, router.
Status ForEachLayerCase(const KernelCaseOptions& options, ThreadPool& pool,
                        const KernelCaseVisitor& visit);

}  // namespace dsv::cli
