// main() of the tests that run once for every instruction set: exit code 77 says that the machine
// lacks the one that DSV_ISA names, so that a skipped run does not count as a passed one.
#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/kernels.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const auto kernels = dsv::SelectKernels(dsv::ForcedIsa());
  if (!kernels) {
    std::printf("skipped: %s\n", kernels.error().message.c_str());
    return 77;
  }
  std::printf("instruction set: %s\n", (*kernels)->name);
  return RUN_ALL_TESTS();
}
