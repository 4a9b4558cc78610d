// The models of tests/vectors/models and their expected values.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "kernels/context.h"
#include "kernels/kernels.h"
#include "model/transformer.h"
#include "tensor/number_formats.h"

namespace dsv::testing {

inline const std::vector<std::string>& ModelNames() {
  static const std::vector<std::string> names{"flash-tiny", "pro-tiny",     "window-tiny",
                                              "base-tiny",  "one-csa-tiny", "one-hca-tiny",
                                              "f32-tiny",   "needle-text"};
  return names;
}

// Where the expected values of a model lie.
inline std::filesystem::path VectorsOf(const std::string& model) {
  return std::filesystem::path(DSV_TEST_DATA) / "models" / model;
}

// Where its checkpoint lies.
inline std::filesystem::path CheckpointOf(const std::string& model) {
  if (model != "needle-text") return VectorsOf(model);
  return std::filesystem::path(DSV_SOURCE_DIR) / "models" / model;
}

// Names the tests of a suite that is parameterised by a model.
inline std::string ModelTestName(const ::testing::TestParamInfo<std::string>& param) {
  std::string name = param.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// A file of expected values. A missing file or tensor ends the test program.
class Vectors {
 public:
  explicit Vectors(const std::filesystem::path& path)
      : file_(SafetensorsFile::Open(path).value()) {}

  bool Has(const std::string& name) const { return file_.Find(name) != nullptr; }
  const std::vector<NamedTensor>& tensors() const { return file_.tensors(); }

  const TensorView& View(const std::string& name) const {
    const TensorView* view = file_.Find(name);
    if (view == nullptr) {
      ADD_FAILURE() << file_.path() << " has no tensor " << name;
      std::abort();
    }
    return *view;
  }

  // F32 and BF16 tensors.
  std::vector<float> Floats(const std::string& name) const {
    const TensorView& view = View(name);
    std::vector<float> values(static_cast<size_t>(view.Elements()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = view.dtype == DType::kBF16
                      ? Bf16ToFloat(LoadUnaligned<uint16_t>(view.data + 2 * i))
                      : LoadUnaligned<float>(view.data + 4 * i);
    }
    return values;
  }

  template <class T = int64_t>
  std::vector<T> Ints(const std::string& name) const {
    const TensorView& view = View(name);
    std::vector<T> values(static_cast<size_t>(view.Elements()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<T>(LoadUnaligned<int64_t>(view.data + 8 * i));
    }
    return values;
  }

 private:
  SafetensorsFile file_;
};

// A checkpoint and the transformer over it.
struct TestModel {
  explicit TestModel(const std::string& name)
      : checkpoint(Checkpoint::Open(CheckpointOf(name)).value()),
        transformer(Open(CheckpointOf(name), checkpoint)) {}

  static Transformer Open(const std::filesystem::path& directory, const Checkpoint& checkpoint) {
    ModelConfig config = LoadConfig(directory).value();
    ModelWeights weights = BindWeights(config, checkpoint).value();
    return {std::move(config), std::move(weights)};
  }

  Checkpoint checkpoint;
  Transformer transformer;
};

// The kernels that DSV_ISA names; isa_main.cpp has checked that the machine has them.
inline const Kernels& TestKernels() { return **SelectKernels(ForcedIsa()); }

}  // namespace dsv::testing
