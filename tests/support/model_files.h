// A checkpoint in memory that a test can damage and write out again.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"

namespace dsv::testing {

struct OwnedTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::string bytes;
};

// The files of a model of tests/vectors/models.
struct ModelFiles {
  std::string config;
  std::map<std::string, OwnedTensor> tensors;

  static ModelFiles Read(const std::filesystem::path& directory) {
    ModelFiles files;
    files.config = ReadFile(directory / "config.json").value();
    const auto checkpoint = Checkpoint::Open(directory);
    EXPECT_TRUE(checkpoint) << checkpoint.error().message;
    checkpoint->ForEach([&](const std::string& name, const TensorView& view, const std::string&) {
      const auto* bytes = reinterpret_cast<const char*>(view.data);
      files.tensors[name] = {view.dtype, view.shape,
                             std::string(bytes, static_cast<size_t>(view.Bytes()))};
    });
    return files;
  }

  // Writes config.json and a single model.safetensors.
  void Write(const std::filesystem::path& directory) const {
    std::vector<NamedTensor> views;
    for (const auto& [name, tensor] : tensors) {
      views.push_back(
          {name,
           {tensor.dtype, tensor.shape, reinterpret_cast<const std::byte*>(tensor.bytes.data())}});
    }
    ASSERT_TRUE(WriteSafetensors(directory / "model.safetensors", views));
    auto file = AtomicFile::Create(directory / "config.json");
    ASSERT_TRUE(file && file->Write(config) && file->Commit());
  }

  // A tensor of zeros.
  void Set(const std::string& name, DType dtype, std::vector<int64_t> shape) {
    const TensorView view{dtype, shape, nullptr};
    tensors[name] = {dtype, std::move(shape), std::string(static_cast<size_t>(view.Bytes()), '\0')};
  }
};

}  // namespace dsv::testing
