#include "base/memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace dsv {
namespace {

TEST(AvailableMemory, IsLessThanTheMachineHas) {
  const MemoryLimit limit = AvailableMemory();
  EXPECT_GT(limit.available, int64_t{1} << 20);
  EXPECT_LT(limit.available, int64_t{1} << 50);
  EXPECT_FALSE(limit.source.empty());
}

[[noreturn]] void ExitWithWhatIsFoundUnderALimit() {
  const rlimit small{int64_t{1} << 30, RLIM_INFINITY};
  setrlimit(RLIMIT_DATA, &small);
  const MemoryLimit limit = AvailableMemory();
  _exit(limit.source == "RLIMIT_DATA" && limit.available < int64_t{1} << 30 ? 0 : 1);
}

// In a process of its own, because limits last.
TEST(AvailableMemory, RespectsResourceLimits) {
  EXPECT_EXIT(ExitWithWhatIsFoundUnderALimit(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace dsv
