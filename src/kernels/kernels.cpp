#include "kernels/kernels.h"

#include <array>
#include <cstdlib>

namespace dsv {
namespace {

struct Candidate {
  const Kernels* kernels;
  bool available;
};

// From best to last.
std::array<Candidate, 3> Candidates() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 =
      avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  return {{{vnni ? &kAvx512VnniKernels : &kAvx512Kernels, avx512},
           {&kAvx2Kernels, avx2},
           {&kScalarKernels, true}}};
#else
  return {{{&kScalarKernels, true}, {&kScalarKernels, true}, {&kScalarKernels, true}}};
#endif
}

}  // namespace

std::string ForcedIsa() {
  const char* value = std::getenv("DSV_ISA");
  return value == nullptr ? "" : value;
}

Result<const Kernels*> SelectKernels(const std::string& forced) {
  for (const Candidate& candidate : Candidates()) {
    if (forced.empty()) {
      if (candidate.available) return candidate.kernels;
    } else if (forced == candidate.kernels->name) {
      if (candidate.available) return candidate.kernels;
      return Fail("DSV_ISA={}: this machine does not have it", forced);
    }
  }
  return Fail("DSV_ISA={}: expected scalar, avx2 or avx512", forced);
}

}  // namespace dsv
