#include "kernels/bf16_tables.h"

#include <memory>

#include "tensor/number_formats.h"

namespace dsv {
namespace {

// The product of two floats may leave their range where bf16's subnormals are still above zero, so
// it is formed in double.
uint16_t ScaledBits(float value, float scale) {
  return FloatToBf16(static_cast<float>(static_cast<double>(value) * static_cast<double>(scale)));
}

std::unique_ptr<const Bf16Tables> MakeTables() {
  auto tables = std::make_unique<Bf16Tables>();
  for (int s = 0; s < 256; ++s) {
    const float scale = E8m0ToFloat(static_cast<uint8_t>(s));
    for (int code = 0; code < 128; ++code) {
      const uint16_t bits = ScaledBits(E4m3ToFloat(static_cast<uint8_t>(code)), scale);
      tables->e4m3[s].high[code] = static_cast<uint8_t>(bits >> 8 & 0x7F);
      tables->e4m3[s].low[code] = static_cast<uint8_t>(bits & 0xFF);
    }
    for (int code = 0; code < 32; ++code) {
      tables->e2m1[s].value[code] = ScaledBits(E2m1ToFloat(static_cast<uint8_t>(code & 15)), scale);
    }
  }
  return tables;
}

}  // namespace

const Bf16Tables& SharedBf16Tables() {
  static const std::unique_ptr<const Bf16Tables> tables = MakeTables();
  return *tables;
}

}  // namespace dsv
