// The instruction sets that this machine can force, as parameters of tests.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace dsv::testing {

inline std::vector<const Kernels*> AvailableKernels() {
  std::vector<const Kernels*> available;
  for (const char* name : {"scalar", "avx2", "avx512", "avx512bf16", "amx"}) {
    if (const auto kernels = SelectKernels(name)) available.push_back(*kernels);
  }
  return available;
}

inline std::string NameOfKernels(const ::testing::TestParamInfo<const Kernels*>& set) {
  return set.param->name;
}

}  // namespace dsv::testing
