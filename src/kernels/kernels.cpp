#include "kernels/kernels.h"

#include <array>
#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace dsv {
namespace {

struct Candidate {
  const Kernels* kernels;
  bool available;
};

#if defined(__x86_64__)

bool HasAmxBf16AndInt8() {
  constexpr unsigned kBf16 = 1U << 22;
  constexpr unsigned kTile = 1U << 24;
  constexpr unsigned kInt8 = 1U << 25;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
         (d & (kBf16 | kTile | kInt8)) == (kBf16 | kTile | kInt8);
}

// Linux hands out the state of the tiles on request, for all threads of the process.
bool MayUseTiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// From best to last.
std::array<Candidate, 5> Candidates() {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 =
      avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  const bool bf16 = vnni && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi") &&
                    __builtin_cpu_supports("avx512bf16");
  const bool amx = bf16 && HasAmxBf16AndInt8() && MayUseTiles();
  return {{{&kAmxKernels, amx},
           {&kAvx512Bf16Kernels, bf16},
           {vnni ? &kAvx512VnniKernels : &kAvx512Kernels, avx512},
           {&kAvx2Kernels, avx2},
           {&kScalarKernels, true}}};
}

#else

std::array<Candidate, 1> Candidates() { return {{{&kScalarKernels, true}}}; }

#endif

constexpr std::array kNames = {"amx", "avx512bf16", "avx512", "avx2", "scalar"};

}  // namespace

std::string ForcedIsa() {
  const char* value = std::getenv("DSV_ISA");
  return value == nullptr ? "" : value;
}

Result<const Kernels*> SelectKernels(const std::string& forced) {
  for (const Candidate& candidate : Candidates()) {
    if (candidate.available && (forced.empty() || forced == candidate.kernels->name)) {
      return candidate.kernels;
    }
  }
  for (const char* name : kNames) {
    if (forced == name) return Fail("DSV_ISA={}: this machine does not have it", forced);
  }
  return Fail("DSV_ISA={}: expected scalar, avx2, avx512, avx512bf16 or amx", forced);
}

}  // namespace dsv
