// The choice of instruction set, made once when an Engine is created.
#pragma once

#include <string>

#include "base/result.h"
#include "kernels/kernel_table.h"

namespace dsv {

// The kernels of the best instruction set of this machine, or the one that `forced` names
// ("scalar", "avx2",
// "avx512", "avx512bf16", "amx"; empty for none). A name that is unknown or unavailable is an error.
Result<const Kernels*> SelectKernels(const std::string& forced);

// The value of the environment variable DSV_ISA, or "".
std::string ForcedIsa();

}  // namespace dsv
