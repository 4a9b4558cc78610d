// What every operator is given: the instruction set, the threads and the precision of an Engine.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"

namespace dsv {

// kReference has every rounding point of the specification; kF32 has none (design.md section 1).
enum class Precision : uint8_t { kReference, kF32 };

class OperationTimer;

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
  // Time, as the caller of the operators sees it, each moment counted once: see OperationTimer.
  std::atomic<int64_t> linear_ns{0};      // projections of attention
  std::atomic<int64_t> compressor_ns{0};  // projections of compressors and indexers
  std::atomic<int64_t> index_scan_ns{0};
  std::atomic<int64_t> csa_ns{0};  // attention of CSA and SWA layers
  std::atomic<int64_t> hca_ns{0};
  std::atomic<int64_t> experts_ns{0};  // routed and shared
  std::atomic<int64_t> head_ns{0};
  std::atomic<int64_t> hc_ns{0};    // hyper-connections
  std::atomic<int64_t> norm_ns{0};  // and rotations of heads
  std::atomic<int64_t> router_ns{0};
  std::atomic<int64_t> quantize_ns{0};  // of activations, where it is a step of its own
  std::atomic<int64_t> rest_ns{0};      // of a pass

  OperationTimer* running = nullptr;  // the innermost one
};
using OperationCount = std::atomic<int64_t> OperationCounts::*;

struct OperationTime {
  const char* name;
  OperationCount kind;
};
inline constexpr OperationTime kOperationTimes[] = {
    {"attention_linear", &OperationCounts::linear_ns},
    {"compressor_indexer_linear", &OperationCounts::compressor_ns},
    {"experts", &OperationCounts::experts_ns},
    {"index_scan", &OperationCounts::index_scan_ns},
    {"attention_csa_swa", &OperationCounts::csa_ns},
    {"attention_hca", &OperationCounts::hca_ns},
    {"head", &OperationCounts::head_ns},
    {"hyper_connections", &OperationCounts::hc_ns},
    {"norms", &OperationCounts::norm_ns},
    {"router", &OperationCounts::router_ns},
    {"quantizers", &OperationCounts::quantize_ns},
    {"other", &OperationCounts::rest_ns},
};

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

// Counts the time until its end, without that of timers that run inside it. Only the thread that
// calls the operators has timers, one OperationCounts for one thread at a time.
class OperationTimer {
 public:
  OperationTimer(const OpContext& context, OperationCount kind)
      : counts_(context.counts), kind_(kind) {
    if (counts_ == nullptr) return;
    outer_ = std::exchange(counts_->running, this);
    start_ = Clock::now();
    if (outer_ != nullptr) outer_->Stop(start_);
  }
  OperationTimer(const OperationTimer&) = delete;
  OperationTimer& operator=(const OperationTimer&) = delete;
  ~OperationTimer() {
    if (counts_ == nullptr) return;
    const Clock::time_point now = Clock::now();
    Stop(now);
    counts_->running = outer_;
    if (outer_ != nullptr) outer_->start_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void Stop(Clock::time_point now) {
    const auto time = std::chrono::duration_cast<std::chrono::nanoseconds>(now - start_);
    (counts_->*kind_).fetch_add(time.count(), std::memory_order_relaxed);
  }

  OperationCounts* counts_;
  OperationCount kind_;
  OperationTimer* outer_ = nullptr;
  Clock::time_point start_;
};

}  // namespace dsv
