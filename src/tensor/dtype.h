// Element types of a safetensors file that a DeepSeek-V4 checkpoint uses (spec 2.2, 2.4).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace dsv {

enum class DType : uint8_t {
  kF32,
  kBF16,
  kF8E4M3,  // "fn" flavour: no infinities, 0x7F and 0xFF are NaN
  kF8E8M0,  // power-of-two scale 2^(byte - 127); 255 is NaN
  kI8,      // two packed FP4 (E2M1) values, low nibble first
  kI64,
};
inline constexpr int kDTypeCount = 6;

// The tag in a safetensors header: "F32", "BF16", "F8_E4M3", "F8_E8M0", "I8", "I64".
std::string_view DTypeName(DType dtype);
std::optional<DType> DTypeFromName(std::string_view name);
int64_t DTypeSize(DType dtype);  // bytes per stored element

}  // namespace dsv
