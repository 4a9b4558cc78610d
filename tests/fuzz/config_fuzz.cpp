// config.json, and binding a tiny checkpoint with whatever configuration is accepted.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/checkpoint.h"
#include "checkpoint/accounting.h"
#include "checkpoint/config.h"
#include "checkpoint/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const dsv::Checkpoint checkpoint =
      dsv::Checkpoint::Open(DSV_TEST_DATA "/models/f32-tiny").value();
  const auto config = dsv::ParseConfig({reinterpret_cast<const char*>(data), size}, "input");
  if (!config) {
    if (config.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  (void)dsv::BindWeights(*config, checkpoint);
  (void)dsv::CheckWeights(*config, checkpoint, 100);
  (void)dsv::KvBytes(*config, dsv::KvFormat::kPacked, 1 << 20);
  (void)dsv::SnapshotBytes(*config, dsv::KvFormat::kBf16, 1 << 20);
  (void)dsv::CountFlops(*config, 1, 1 << 20);
  return 0;
}
