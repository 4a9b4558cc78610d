// Scratch memory of a pass: bounded by what ScratchBytes says, whatever the context.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "support/model_fixture.h"

namespace {

std::atomic<int64_t> allocated = 0;
std::atomic<int64_t> peak = 0;

void* Count(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  const int64_t now = allocated += static_cast<int64_t>(malloc_usable_size(memory));
  int64_t seen = peak;
  while (seen < now && !peak.compare_exchange_weak(seen, now)) {
  }
  return memory;
}

void Release(void* memory) {
  allocated -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

// What the program allocates, counted as the allocator sees it.
void* operator new(size_t size) { return Count(std::malloc(size)); }
void* operator new(size_t size, std::align_val_t align) {
  const auto alignment = static_cast<size_t>(align);
  return Count(std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment));
}
void operator delete(void* memory) noexcept { Release(memory); }
void operator delete(void* memory, size_t) noexcept { Release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Release(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { Release(memory); }

namespace dsv {
namespace {

using testing::TestModel;

// Bytes that a pass of `rows` tokens at the end of `state` takes besides what it leaves there.
int64_t ScratchOf(const TestModel& model, const OpContext& context, SessionState& state,
                  int64_t rows) {
  std::vector<int32_t> tokens(static_cast<size_t>(rows));
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>((static_cast<size_t>(state.tokens()) + i * i) % 64);
  }
  const Work work{&state, tokens, Logits::kNone, Logits::kNone};
  peak = allocated.load();
  model.transformer.Forward(context, std::span(&work, 1));
  return peak - allocated;
}

// The bound knows nothing of the context.
TEST(Scratch, StaysBelowItsBoundAtAnyContext) {
  for (const char* name : {"flash-tiny", "pro-tiny", "needle-text"}) {
    const TestModel model(name);
    for (const int64_t threads : {1, 3}) {
      ThreadPool pool(threads);
      const OpContext context{testing::TestKernels(), pool, Precision::kReference};
      for (const int64_t rows : {1, 256}) {
        SessionState state = model.transformer.NewState(Precision::kReference, /*mtp=*/false);
        const int64_t bound = model.transformer.ScratchBytes(rows, threads);
        for (const int64_t tokens : {0, 100, 2000}) {
          while (state.tokens() < tokens) {
            ScratchOf(model, context, state, std::min<int64_t>(tokens - state.tokens(), 256));
          }
          const int64_t scratch = ScratchOf(model, context, state, rows);
          EXPECT_LE(scratch, bound)
              << name << ", " << threads << " threads, " << rows << " rows after " << tokens;
        }
      }
    }
  }
}

}  // namespace
}  // namespace dsv
