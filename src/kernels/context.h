// What every operator is given: the instruction set, the threads and the precision of an Engine.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"

namespace dsv {

// kReference has every rounding point of the specification; kF32 has none (design.md section 1).
enum class Precision : uint8_t { kReference, kF32 };

// Multiply-adds that were executed, by what they were for (spec 12.4).
struct OperationCounts {
  std::atomic<int64_t> linear{0};      // weights with activations
  std::atomic<int64_t> attention{0};   // queries with rows, weights of rows with rows
  std::atomic<int64_t> index_scan{0};  // index queries with index keys
};

struct OpContext {
  const Kernels& kernels;
  ThreadPool& pool;
  Precision precision;
  OperationCounts* counts = nullptr;  // null: not counted

  bool reference() const { return precision == Precision::kReference; }
  // Called for whole blocks of rows, never in an inner loop.
  void Count(std::atomic<int64_t> OperationCounts::*kind, int64_t multiply_adds) const {
    if (counts != nullptr) (counts->*kind).fetch_add(multiply_adds, std::memory_order_relaxed);
  }
};

}  // namespace dsv
