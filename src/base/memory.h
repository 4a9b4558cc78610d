// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <string>

namespace dsv {

struct MemoryLimit {
  int64_t available = 0;  // bytes
  std::string source;  // what sets the limit, for messages: "RLIMIT_AS", "cgroup memory.max", ...
};

// The tightest of the machine's available memory, the limits of the control groups of this process
// and its resource limits. Unreadable sources count as unlimited.
MemoryLimit AvailableMemory();

}  // namespace dsv
