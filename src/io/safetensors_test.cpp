#include "io/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace dsv {
namespace {

using testing::TempDir;

std::string WithHeader(const std::string& json, const std::string& data) {
  std::string file(8, '\0');
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(json.size() >> (8 * i) & 0xFF);
  return file + json + data;
}

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string ErrorOf(const std::string& file) {
  const auto header = ParseSafetensors(Bytes(file), "FILE");
  return header ? "no error" : header.error().message;
}

const std::string kTwoTensors = R"({"__metadata__":{"format":"pt"},)"
                                R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[5,11]},)"
                                R"("a":{"dtype":"I8","shape":[5,1],"data_offsets":[0,5]}})";

TEST(ParseSafetensors, ReadsTensorsAtOddOffsets) {
  const std::string file = WithHeader(kTwoTensors, "01234abcdef");
  const auto header = ParseSafetensors(Bytes(file), "FILE");
  ASSERT_TRUE(header) << header.error().message;
  ASSERT_EQ(header->tensors.size(), 2u);
  const NamedTensor& a = header->tensors[0];
  const NamedTensor& b = header->tensors[1];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.view.dtype, DType::kI8);
  EXPECT_EQ(a.view.shape, (std::vector<int64_t>{5, 1}));
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(std::memcmp(b.view.data, "abcdef", 6), 0);
}

TEST(ParseSafetensors, KeepsTensorsOfOtherDTypesByName) {
  const std::string file = WithHeader(R"({"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},)"
                                      R"("x":{"dtype":"F4_NEW","shape":[9],"data_offsets":[4,7]}})",
                                      "1234567");
  const auto header = ParseSafetensors(Bytes(file), "FILE");
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_TRUE(header->tensors.empty());
  ASSERT_EQ(header->unsupported.size(), 2u);
  EXPECT_EQ(header->unsupported[0].dtype, "F16");
  EXPECT_EQ(header->unsupported[1].bytes, 3);
}

TEST(ParseSafetensors, AcceptsEmptyTensorsAndFiles) {
  EXPECT_EQ(ErrorOf(WithHeader("{}", "")), "no error");
  EXPECT_EQ(ErrorOf(WithHeader("{}      ", "")), "no error");
  EXPECT_EQ(ErrorOf(WithHeader(R"({"e":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}})", "")),
            "no error");
}

TEST(ParseSafetensors, RefusesEveryTruncation) {
  const std::string file = WithHeader(kTwoTensors, "01234abcdef");
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_NE(ErrorOf(file.substr(0, size)), "no error") << size;
  }
  EXPECT_EQ(ErrorOf(file), "no error");
}

struct BadHeader {
  const char* json;
  const char* message;
};
constexpr BadHeader kBadHeaders[] = {
    {"", "FILE: header is invalid JSON at byte"},
    {"{", "FILE: header is invalid JSON at byte"},
    {"[]", "FILE: header: expected an object, found an array"},
    {"7", "FILE: header: expected an object, found a number"},
    {R"({"a":7})",
     "FILE: tensor a: expected an object with dtype, shape and data_offsets, found a number"},
    {R"({"a":{}})", "FILE: tensor a: expected dtype, shape and data_offsets"},
    {R"({"a":{"dtype":"F32","shape":[1]}})", "expected dtype, shape and data_offsets"},
    {R"({"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})",
     "tensor a: expected dtype to be a string, found a number"},
    {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})",
     "tensor a: expected shape to be an array of integers from 0 to 2^63 - 1, found a negative "
     "number"},
    {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", "found a fraction"},
    {R"({"a":{"dtype":"F32","shape":[1,[2]],"data_offsets":[0,4]}})", "found an array"},
    {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})",
     "expected at most 8 dimensions, found more"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})",
     "expected data_offsets to be an array of 2 integers from 0 to 2^63 - 1, found 1 of them"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", "found more of them"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})",
     "a number beyond 63 bits"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[1]}})",
     "unexpected or repeated key \"shape\""},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})",
     "unexpected or repeated key \"x\""},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})",
     "FILE: tensor a: F32 [2] needs 8 bytes, data_offsets give 4"},
    {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],)"
     R"("data_offsets":[0,4]}})",
     "overflows"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "run backwards"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
     "data_offsets [0, 8) exceed the 4 bytes of data (truncated?)"},
    {R"({"a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},)"
     R"("b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}})",
     "tensor b: data_offsets [2, 4) overlap a tensor that ends at byte 3"},
    {R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
     R"("b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}})",
     "tensor b: data_offsets [2, 4) leave a hole that starts at byte 1"},
    {R"({"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}})",
     "FILE: 2 bytes follow the last tensor"},
    {R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},)"
     R"("a":{"dtype":"I8","shape":[0],"data_offsets":[4,4]}})",
     "tensor a occurs twice"},
    {R"({"__metadata__":{"a":1}})", "header: expected strings in __metadata__, found a number"},
    {R"({"__metadata__":{"a":{}}})", "header: expected strings in __metadata__, found an object"},
};

TEST(ParseSafetensors, RefusesBadHeaders) {
  for (const BadHeader& bad : kBadHeaders) {
    const std::string error = ErrorOf(WithHeader(bad.json, "data"));
    EXPECT_NE(error.find(bad.message), std::string::npos) << bad.json << "\n  gave " << error;
  }
}

TEST(ParseSafetensors, RefusesHeaderLengthsBeyondTheFile) {
  EXPECT_EQ(ErrorOf(std::string(8, '\xFF')),
            "FILE: not a safetensors file: header length 18446744073709551615 exceeds 100000000");
  EXPECT_EQ(ErrorOf(std::string("\x10\0\0\0\0\0\0\0{}", 10)),
            "FILE: header length 16 exceeds the 10 bytes of the file (truncated?)");
}

TEST(ParseSafetensors, KeepsMessagesOnOneLine) {
  const std::string error = ErrorOf(WithHeader(R"({"a\n\u001b[2J":{"dtype":7}})", ""));
  EXPECT_EQ(error, "FILE: tensor a\\x0A\\x1B[2J: expected dtype to be a string, found a number");
}

TEST(SafetensorsWriter, WritesInterleavedRowsThatReadBack) {
  const TempDir directory;
  const std::vector<SafetensorsWriter::Entry> entries = {{"x", DType::kI8, {3}},
                                                         {"q\"\n", DType::kI8, {2, 2}}};
  {
    auto writer = SafetensorsWriter::Create(directory / "out.safetensors", entries);
    ASSERT_TRUE(writer) << writer.error().message;
    ASSERT_TRUE(writer->Append(0, Bytes("ab")));
    ASSERT_TRUE(writer->Append(1, Bytes("1234")));
    ASSERT_TRUE(writer->Append(0, Bytes("c")));
    EXPECT_FALSE(std::filesystem::exists(directory / "out.safetensors"));
    ASSERT_TRUE(writer->Commit());
  }
  const auto file = SafetensorsFile::Open(directory / "out.safetensors");
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_NE(file->Find("x"), nullptr);
  ASSERT_NE(file->Find("q\"\n"), nullptr);
  EXPECT_EQ(file->Find("y"), nullptr);
  EXPECT_EQ(std::memcmp(file->Find("x")->data, "abc", 3), 0);
  EXPECT_EQ(std::memcmp(file->Find("q\"\n")->data, "1234", 4), 0);
}

TEST(SafetensorsWriter, LeavesNothingBehindWhenIncomplete) {
  const TempDir directory;
  {
    auto writer =
        SafetensorsWriter::Create(directory / "out.safetensors", {{"x", DType::kF32, {2}}});
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->Append(0, Bytes("1234")));
    const Status status = writer->Commit();
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message.find("tensor x is incomplete: 4 bytes are missing"),
              std::string::npos);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(SafetensorsWriter, FailsCleanlyWhenTheDiskIsFull) {
  const TempDir directory;
  // A limit on the file size makes writes fail like a full disk does.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 4096;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto writer =
      SafetensorsWriter::Create(directory / "out.safetensors", {{"x", DType::kF32, {1 << 20}}});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(writer);
  EXPECT_NE(writer.error().message.find("out.safetensors.partial: cannot re"), std::string::npos)
      << writer.error().message;
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(SafetensorsWriter, RefusesWhatCannotBecomeAFile) {
  const TempDir directory;
  for (const char* name : {".", "folder", "folder/"}) {
    std::filesystem::create_directory(directory / "folder");
    const auto writer = SafetensorsWriter::Create(directory / name, {{"x", DType::kI8, {1}}});
    ASSERT_FALSE(writer) << name;
    EXPECT_NE(writer.error().message.find(": expected "), std::string::npos) << name;
  }
  EXPECT_FALSE(SafetensorsWriter::Create("", {{"x", DType::kI8, {1}}}));
  EXPECT_TRUE(std::filesystem::is_empty(directory / "folder"));
}

TEST(SafetensorsFile, NamesTensorsThatItCannotRead) {
  const TempDir directory;
  const auto file = SafetensorsFile::Open(directory.Write(
      "f", WithHeader(R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}})", "data")));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->Find("a"), nullptr);
  ASSERT_NE(file->FindUnsupported("a"), nullptr);
  EXPECT_EQ(file->FindUnsupported("a")->dtype, "I32");
  EXPECT_EQ(file->FindUnsupported("b"), nullptr);
}

TEST(SafetensorsFile, RefusesWhatIsNoFile) {
  const TempDir directory;
  ASSERT_EQ(mkfifo((directory / "fifo").c_str(), 0600), 0);
  for (const char* name : {"absent", ".", "fifo"}) {
    const auto file = SafetensorsFile::Open(directory / name);
    ASSERT_FALSE(file);
    EXPECT_NE(file.error().message.find(directory.path().string()), std::string::npos);
  }
  const auto empty = SafetensorsFile::Open(directory.Write("empty", ""));
  ASSERT_FALSE(empty);
  EXPECT_NE(empty.error().message.find("0 bytes, expected at least 8"), std::string::npos);
}

}  // namespace
}  // namespace dsv
