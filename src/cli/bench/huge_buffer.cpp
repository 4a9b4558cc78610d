#include "cli/bench/huge_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "base/memory.h"

namespace dsv::cli {
namespace {

constexpr size_t kHugePage = 2 << 20;

}  // namespace

Result<HugeBuffer> HugeBuffer::Make(int64_t bytes) {
  const MemoryLimit limit = AvailableMemory();
  if (bytes > limit.available) {
    return Fail("{} bytes of memory wanted, {} available ({})", bytes, limit.available,
                limit.source);
  }
  const size_t size = static_cast<size_t>(bytes) + kHugePage;
  void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return Fail("{} bytes of memory: {}", bytes, std::strerror(errno));
  madvise(memory, size, MADV_HUGEPAGE);  // only advice: without it the pages are small
  HugeBuffer buffer;
  buffer.mapping_ = {static_cast<std::byte*>(memory), size};
  const size_t skipped = -reinterpret_cast<uintptr_t>(memory) % kHugePage;
  buffer.bytes_ = buffer.mapping_.subspan(skipped, static_cast<size_t>(bytes));
  return buffer;
}

HugeBuffer::HugeBuffer(HugeBuffer&& other) noexcept
    : mapping_(std::exchange(other.mapping_, {})), bytes_(std::exchange(other.bytes_, {})) {}

HugeBuffer& HugeBuffer::operator=(HugeBuffer&& other) noexcept {
  std::swap(mapping_, other.mapping_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

HugeBuffer::~HugeBuffer() {
  if (!mapping_.empty()) munmap(mapping_.data(), mapping_.size());
}

int64_t HugePageBytes() {
  constexpr std::string_view kField = "AnonHugePages:";
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(kField, 0) == 0) return std::atoll(line.c_str() + kField.size()) * 1024;
  }
  return 0;
}

}  // namespace dsv::cli
