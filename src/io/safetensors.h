// The safetensors format (spec 2.2): an 8-byte little-endian header length, a JSON header, data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "io/mapped_file.h"
#include "tensor/tensor_view.h"

namespace dsv {

struct NamedTensor {
  std::string name;
  TensorView view;
};

// A tensor whose dtype no DeepSeek-V4 checkpoint uses: known by name, not readable.
struct UnsupportedTensor {
  std::string name;
  std::string dtype;  // the tag in the header
  std::vector<int64_t> shape;
  int64_t bytes = 0;
};

struct SafetensorsHeader {
  std::vector<NamedTensor> tensors;            // ascending by name
  std::vector<UnsupportedTensor> unsupported;  // ascending by name
};

// Reads the header of a whole file in memory; the views point into `file`. Refuses what the format
// forbids: a header that does not fit or is no JSON object of tensors, a name given twice, ranges
// that overlap, leave holes or bytes behind, or differ from dtype x shape. `source` names the file
// in the error.
Result<SafetensorsHeader> ParseSafetensors(std::span<const std::byte> file,
                                           const std::string& source);

// A mapped file. Immutable; any thread may read it. Moving it keeps every view valid.
class SafetensorsFile {
 public:
  static Result<SafetensorsFile> Open(const std::filesystem::path& path);
  // The same for the bytes of a whole file in memory, which must outlive the object; `name` stands
  // for its path.
  static Result<SafetensorsFile> FromMemory(std::string name, std::span<const std::byte> file);

  const TensorView* Find(std::string_view name) const;  // null if absent
  // The tensor under this name if its dtype is none of DType; null otherwise.
  const UnsupportedTensor* FindUnsupported(std::string_view name) const;
  const std::vector<NamedTensor>& tensors() const { return header_.tensors; }
  const std::vector<UnsupportedTensor>& unsupported() const { return header_.unsupported; }
  const std::filesystem::path& path() const { return path_; }

 private:
  SafetensorsFile(std::filesystem::path path, std::optional<MappedFile> file,
                  SafetensorsHeader header);

  std::filesystem::path path_;
  std::optional<MappedFile> file_;  // none: memory of the caller
  SafetensorsHeader header_;
};

// Writes a file whose tensors are known by shape before their data is: the rows of several tensors
// may arrive interleaved. Nothing appears under `path` before Commit succeeds. Not thread-safe.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<int64_t> shape;
  };

  // Writes the header and reserves the space of the data where the file system can, so that a
  // full disk is found before the work.
  static Result<SafetensorsWriter> Create(const std::filesystem::path& path,
                                          const std::vector<Entry>& entries);

  // Adds the next bytes of tensor `entry` (its index in `entries`).
  Status Append(size_t entry, std::span<const std::byte> bytes);

  // Fails unless every tensor is complete.
  Status Commit();

 private:
  struct Range {
    std::string name;
    int64_t next = 0;  // file offsets
    int64_t end = 0;
  };
  SafetensorsWriter(AtomicFile file, std::string source, std::vector<Range> ranges);

  AtomicFile file_;
  std::string source_;
  std::vector<Range> ranges_;
};

// Writes tensors that lie in memory. Their views need no alignment.
Status WriteSafetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors);

// The bytes before the data of a file with these tensors in this order: length and JSON, padded
// so that the data starts at a multiple of 8.
std::string SafetensorsPrefix(const std::vector<SafetensorsWriter::Entry>& entries);

}  // namespace dsv
