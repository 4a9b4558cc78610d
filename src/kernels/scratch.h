// Memory for the intermediate rows of a pass. It is reserved once and handed out like a stack, so
// that the pages of one operator serve the next; it is not cleared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <type_traits>

#include "kernels/context.h"

namespace dsv {

class Scratch {
 public:
  explicit Scratch(int64_t bytes);

  // Beyond the reserve the heap serves.
  std::byte* Take(int64_t bytes);
  // In the reverse order of Take.
  void GiveBack(std::byte* begin, int64_t bytes);

  // Without a reserve. All memory is aligned to 64 bytes; a lack of it is std::bad_alloc.
  static std::byte* TakeFromHeap(int64_t bytes);
  static void GiveToHeap(std::byte* begin);

 private:
  struct Free {
    void operator()(std::byte* memory) const { GiveToHeap(memory); }
  };

  std::unique_ptr<std::byte, Free> memory_;
  int64_t size_;
  int64_t used_ = 0;
};

// `size` elements of a context's scratch, or of the heap if it has none, without values. Lives in a
// scope of the thread that runs the pass.
template <class T>
class ScratchArray {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 64);

 public:
  ScratchArray(const OpContext& context, int64_t size)
      : scratch_(context.scratch), bytes_(size * static_cast<int64_t>(sizeof(T))) {
    if (scratch_ == nullptr) {
      data_ = reinterpret_cast<T*>(Scratch::TakeFromHeap(bytes_));
    } else {
      data_ = reinterpret_cast<T*>(scratch_->Take(bytes_));
    }
  }
  ScratchArray(const ScratchArray&) = delete;
  ScratchArray& operator=(const ScratchArray&) = delete;
  ~ScratchArray() {
    auto* begin = reinterpret_cast<std::byte*>(data_);
    scratch_ == nullptr ? Scratch::GiveToHeap(begin) : scratch_->GiveBack(begin, bytes_);
  }

  T* data() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  Scratch* scratch_;
  int64_t bytes_;
  T* data_;
};

// Arrays that are given back together.
class ScratchArena {
 public:
  explicit ScratchArena(const OpContext& context) : context_(context) {}
  ScratchArena(const ScratchArena&) = delete;
  ScratchArena& operator=(const ScratchArena&) = delete;
  ~ScratchArena() {
    while (!arrays_.empty()) arrays_.pop_back();
  }

  std::byte* Take(int64_t bytes) {
    return bytes == 0 ? nullptr : arrays_.emplace_back(context_, bytes).data();
  }
  float* TakeFloats(int64_t count) {
    return reinterpret_cast<float*>(Take(count * static_cast<int64_t>(sizeof(float))));
  }

 private:
  const OpContext& context_;
  std::deque<ScratchArray<std::byte>> arrays_;
};

}  // namespace dsv
