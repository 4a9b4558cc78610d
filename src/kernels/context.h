// What every operator is given: the instruction set, the threads and the precision of an Engine.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"

namespace dsv {

// kReference has every rounding point of the specification; kF32 has none (design.md section 1).
enum class Precision : uint8_t { kReference, kF32 };

// What was executed, by what it was for (spec 12.4).
struct OperationCounts {
  // Multiply-adds.
  std::atomic<int64_t> linear{0};      // weights with activations
  std::atomic<int64_t> attention{0};   // queries with rows, weights of rows with rows
  std::atomic<int64_t> index_scan{0};  // index queries with index keys
  // Stored bytes of the context that were read.
  std::atomic<int64_t> key_bytes{0};
  std::atomic<int64_t> csa_bytes{0};
  std::atomic<int64_t> hca_bytes{0};
  // Time, as the caller of the operators sees it.
  std::atomic<int64_t> index_scan_ns{0};
  std::atomic<int64_t> csa_ns{0};  // attention of CSA and SWA layers
  std::atomic<int64_t> hca_ns{0};
  std::atomic<int64_t> pass_ns{0};  // all of it
};
using OperationCount = std::atomic<int64_t> OperationCounts::*;

class Scratch;

struct OpContext {
  const Kernels& kernels;
  ThreadPool& pool;
  Precision precision;
  OperationCounts* counts = nullptr;  // null: not counted
  Scratch* scratch = nullptr;         // null: the heap

  bool reference() const { return precision == Precision::kReference; }
  // Called for whole blocks of rows, never in an inner loop.
  void Count(OperationCount kind, int64_t amount) const {
    if (counts != nullptr) (counts->*kind).fetch_add(amount, std::memory_order_relaxed);
  }
};

// Counts the time until its end.
class OperationTimer {
 public:
  OperationTimer(const OpContext& context, OperationCount kind) : context_(context), kind_(kind) {}
  OperationTimer(const OperationTimer&) = delete;
  OperationTimer& operator=(const OperationTimer&) = delete;
  ~OperationTimer() {
    const auto time = std::chrono::steady_clock::now() - start_;
    context_.Count(kind_, std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
  }

 private:
  const OpContext& context_;
  OperationCount kind_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace dsv
