// Memory in pages of 2 MiB where the system offers them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace dsv::cli {

// Zeroed when made; pages come when they are first touched. Movable.
class HugeBuffer {
 public:
  static Result<HugeBuffer> Make(int64_t bytes);

  HugeBuffer() = default;
  HugeBuffer(HugeBuffer&& other) noexcept;
  HugeBuffer& operator=(HugeBuffer&& other) noexcept;
  ~HugeBuffer();

  std::span<std::byte> bytes() const { return bytes_; }  // starts at a multiple of 2 MiB

 private:
  std::span<std::byte> mapping_;
  std::span<std::byte> bytes_;
};

// Bytes of this process that lie in huge pages; 0 if the system does not say.
int64_t HugePageBytes();

}  // namespace dsv::cli
