#include "kernels/scratch.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <new>

#include "base/check.h"

namespace dsv {
namespace {

constexpr std::align_val_t kAlignment{64};

int64_t RoundUp(int64_t bytes) {
  constexpr auto kStep = static_cast<int64_t>(kAlignment);
  return (bytes + kStep - 1) / kStep * kStep;
}

}  // namespace

std::byte* Scratch::TakeFromHeap(int64_t bytes) {
  return static_cast<std::byte*>(::operator new(static_cast<size_t>(RoundUp(bytes)), kAlignment));
}

void Scratch::GiveToHeap(std::byte* begin) { ::operator delete(begin, kAlignment); }

Scratch::Scratch(int64_t bytes) : memory_(TakeFromHeap(bytes)), size_(RoundUp(bytes)) {
#if defined(MADV_HUGEPAGE)
  // Large pages where the system has them: a pass of many rows would fault in a hundred thousand
  // small ones.
  constexpr int64_t kLargePage = 1 << 21;
  if (size_ < 4 * kLargePage) return;
  const auto address = reinterpret_cast<uintptr_t>(memory_.get());
  const uintptr_t begin = (address + kLargePage - 1) / kLargePage * kLargePage;
  madvise(reinterpret_cast<void*>(begin), static_cast<size_t>(size_ - kLargePage), MADV_HUGEPAGE);
#endif
}

std::byte* Scratch::Take(int64_t bytes) {
  bytes = RoundUp(bytes);
  if (used_ + bytes > size_) return TakeFromHeap(bytes);
  std::byte* begin = memory_.get() + used_;
  used_ += bytes;
  return begin;
}

void Scratch::GiveBack(std::byte* begin, int64_t bytes) {
  if (begin < memory_.get() || begin >= memory_.get() + size_) {
    return GiveToHeap(begin);
  }
  DSV_DCHECK(begin + RoundUp(bytes) == memory_.get() + used_);
  static_cast<void>(bytes);
  used_ = begin - memory_.get();
}

}  // namespace dsv
