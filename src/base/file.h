// Whole-file reading, and writing that leaves either the complete new file or nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dsv {

Result<std::string> ReadFile(const std::filesystem::path& path);

// Writes to PATH.partial; Commit() flushes it to disk and renames it to PATH. Destroyed without a
// Commit (an error, a full disk) it removes the partial file. Not thread-safe.
class AtomicFile {
 public:
  static Result<AtomicFile> Create(const std::filesystem::path& path);
  // The file that Create opens for PATH.
  static std::filesystem::path PartialPath(const std::filesystem::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  Status Write(std::span<const std::byte> bytes);
  Status Write(std::string_view text) { return Write(std::as_bytes(std::span(text))); }
  // Writes at an offset of the file, which grows as needed; Write() goes on where it was.
  Status WriteAt(int64_t offset, std::span<const std::byte> bytes);
  // Sets the size and reserves its space, as far as the file system knows how to.
  Status Reserve(int64_t size);
  Status Commit();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path partial, int descriptor);

  std::filesystem::path path_;
  std::filesystem::path partial_;
  int descriptor_ = -1;
};

// The whole of an AtomicFile in one call.
Status WriteFile(const std::filesystem::path& path, std::string_view text);

}  // namespace dsv
