#include "base/memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace dsv {
namespace {

TEST(AvailableMemory, IsLessThanTheMachineHas) {
  const MemoryLimit limit = AvailableMemory();
  EXPECT_GT(limit.available, int64_t{1} << 20);
  EXPECT_LT(limit.available, int64_t{1} << 50);
  EXPECT_FALSE(limit.source.empty());
}

int64_t UsedData() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("VmData:", 0) == 0) return std::atoll(line.c_str() + 7) * 1024;
  }
  return 0;
}

[[noreturn]] void ExitWithWhatIsFoundUnderALimit() {
  constexpr int64_t kLeft = 1 << 30;
  const rlimit small{static_cast<rlim_t>(UsedData() + kLeft), RLIM_INFINITY};
  setrlimit(RLIMIT_DATA, &small);
  const MemoryLimit limit = AvailableMemory();
  _exit(limit.source == "RLIMIT_DATA" && limit.available <= kLeft ? 0 : 1);
}

// In a process of its own, because limits last.
TEST(AvailableMemory, RespectsResourceLimits) {
  EXPECT_EXIT(ExitWithWhatIsFoundUnderALimit(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace dsv
