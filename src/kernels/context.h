// What every operator is given: the instruction set, the threads and the precision of an Engine.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"

namespace dsv {

// kReference has every rounding point of the specification; kF32 has none (design.md section 1).
enum class Precision : uint8_t { kReference, kF32 };

struct OpContext {
  const Kernels& kernels;
  ThreadPool& pool;
  Precision precision;

  bool reference() const { return precision == Precision::kReference; }
};

}  // namespace dsv
