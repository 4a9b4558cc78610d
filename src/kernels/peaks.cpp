#include "kernels/peaks.h"

#include "kernels/kernels.h"

namespace dsv {

std::vector<const PeakKernels*> MachinePeaks() {
  std::vector<const PeakKernels*> peaks = {&kScalarPeaks};
#if defined(__x86_64__)
  const auto has = [](const char* isa) { return SelectKernels(isa).has_value(); };
  if (has("avx2")) peaks.push_back(&kAvx2Peaks);
  if (has("avx512")) peaks.push_back(&kAvx512Peaks);
  if (has("avx512") && __builtin_cpu_supports("avx512vnni")) peaks.push_back(&kAvx512VnniPeaks);
  if (has("avx512bf16")) peaks.push_back(&kAvx512Bf16Peaks);
  if (has("amx")) peaks.push_back(&kAmxPeaks);
#endif
  return peaks;
}

}  // namespace dsv
