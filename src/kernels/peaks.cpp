#include "kernels/peaks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace dsv {

#if defined(__x86_64__)
namespace {

bool HasAvx512Bf16() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1) != 0;
}

// Tiles of bf16 and bytes, and the kernel's leave to use their registers.
bool HasAmx() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kTilesOfBoth = 1U << 22 | 1U << 24 | 1U << 25;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return (d & kTilesOfBoth) == kTilesOfBoth &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace
#endif

std::vector<const PeakKernels*> MachinePeaks() {
  std::vector<const PeakKernels*> peaks = {&kScalarPeaks};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    peaks.push_back(&kAvx2Peaks);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
    peaks.push_back(&kAvx512Peaks);
    if (__builtin_cpu_supports("avx512vnni")) peaks.push_back(&kAvx512VnniPeaks);
    if (HasAvx512Bf16()) peaks.push_back(&kAvx512Bf16Peaks);
    if (HasAmx()) peaks.push_back(&kAmxPeaks);
  }
#endif
  return peaks;
}

}  // namespace dsv
