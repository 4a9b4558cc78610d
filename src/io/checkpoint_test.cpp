#include "io/checkpoint.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace dsv {
namespace {

using testing::TempDir;

constexpr const char* kIndex = "model.safetensors.index.json";

void WriteShard(const TempDir& directory, const char* name,
                const std::vector<std::string>& tensors) {
  std::vector<NamedTensor> views;
  static constexpr std::byte kData[4] = {};
  for (const std::string& tensor : tensors) views.push_back({tensor, {DType::kI8, {4}, kData}});
  ASSERT_TRUE(WriteSafetensors(directory / name, views));
}

// Two shards with a, b and c; the index is the test's.
std::string OpenError(const std::string& index) {
  const TempDir directory;
  WriteShard(directory, "1.safetensors", {"a", "b"});
  WriteShard(directory, "2.safetensors", {"c"});
  WriteShard(directory, "copy.safetensors", {"c"});
  directory.Write("broken.safetensors", "no header");
  directory.Write(kIndex, index);
  const auto checkpoint = Checkpoint::Open(directory.path());
  return checkpoint ? "no error" : checkpoint.error().message;
}

TEST(Checkpoint, OpensShardsThroughTheIndex) {
  const TempDir directory;
  WriteShard(directory, "1.safetensors", {"a", "b"});
  WriteShard(directory, "2.safetensors", {"c", "extra"});
  directory.Write(kIndex, R"({"metadata":{"total_size":12,"x":[{}]},"weight_map":
      {"c":"2.safetensors","a":"1.safetensors","b":"1.safetensors"}})");
  auto opened = Checkpoint::Open(directory.path());
  ASSERT_TRUE(opened) << opened.error().message;
  const TensorView* c = opened->Find("c");
  const Checkpoint checkpoint = std::move(*opened);
  EXPECT_EQ(checkpoint.Find("c"), c);
  EXPECT_EQ(checkpoint.size(), 3);
  EXPECT_EQ(checkpoint.declared_bytes(), 12);
  EXPECT_EQ(checkpoint.Find("extra"), nullptr);
  EXPECT_EQ(checkpoint.unlisted(), std::vector<std::string>{"extra"});
  EXPECT_EQ(checkpoint.FileOf("c"), (directory / "2.safetensors").string());
  std::vector<std::string> seen;
  checkpoint.ForEach([&](const std::string& name, const TensorView& view, const std::string& file) {
    EXPECT_EQ(view.Bytes(), 4);
    seen.push_back(name + "@" + file);
  });
  EXPECT_EQ(seen,
            (std::vector<std::string>{"c@2.safetensors", "a@1.safetensors", "b@1.safetensors"}));
}

TEST(Checkpoint, OpensASingleFile) {
  const TempDir directory;
  WriteShard(directory, "model.safetensors", {"a"});
  const auto checkpoint = Checkpoint::Open(directory.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->size(), 1);
}

TEST(Checkpoint, RefusesDirectoriesWithoutACheckpoint) {
  const TempDir directory;
  const auto empty = Checkpoint::Open(directory.path());
  ASSERT_FALSE(empty);
  EXPECT_NE(empty.error().message.find("neither model.safetensors.index.json nor"),
            std::string::npos);
  EXPECT_FALSE(Checkpoint::Open(directory / "absent"));
}

struct BadIndex {
  const char* json;
  const char* message;
};
constexpr BadIndex kBadIndices[] = {
    {"{", "index.json: invalid JSON at byte"},
    {"3", "expected an object, found a number"},
    {"{}", "key weight_map is missing"},
    {R"({"weight_map":3})", "weight_map: expected an object, found a number"},
    {R"({"weight_map":[]})", "weight_map: expected an object, found an array"},
    {R"({"weight_map":{"a":3}})", "a: expected a file name, found a number"},
    {R"({"weight_map":{"a":{}}})", "expected a file name"},
    {R"({"weight_map":{"a":"../1.safetensors"}})", "is not a plain file name"},
    {R"({"weight_map":{"a":"/etc/passwd"}})", "is not a plain file name"},
    {R"({"weight_map":{"a":".."}})", "is not a plain file name"},
    {R"({"weight_map":{"a":""}})", "is not a plain file name"},
    {R"({"weight_map":{},"weight_map":{}})", "weight_map occurs twice"},
    {R"({"weight_map":{"a":"9.safetensors"}})", "9.safetensors: cannot open"},
    {R"({"weight_map":{"a":"broken.safetensors"}})", "broken.safetensors: not a safetensors file"},
    {R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors","z":"2.safetensors"}})",
     "tensor z is not in its shard 2.safetensors"},
    {R"({"weight_map":{"a":"2.safetensors","b":"1.safetensors","c":"2.safetensors"}})",
     "tensor a should be in shard 2.safetensors but is in 1.safetensors"},
    {R"({"weight_map":{"a":"1.safetensors","a":"1.safetensors"}})", "tensor a is listed twice"},
    {R"({"weight_map":{"a":"1.safetensors","c":"2.safetensors","x":"copy.safetensors"}})",
     "tensor c occurs in shard 2.safetensors and in shard copy.safetensors"},
};

TEST(Checkpoint, RefusesBadIndices) {
  for (const BadIndex& bad : kBadIndices) {
    const std::string error = OpenError(bad.json);
    EXPECT_NE(error.find(bad.message), std::string::npos) << bad.json << "\n  gave " << error;
  }
}

}  // namespace
}  // namespace dsv
