// Descriptors and positioned reads and writes that report the file they failed on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace dsv {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor();

  int get() const { return value_; }
  explicit operator bool() const { return value_ >= 0; }

 private:
  int value_ = -1;
};

// "FILE: cannot ACTION: why", from errno.
tl::unexpected<Error> FailErrno(const std::filesystem::path& path, std::string_view action);

Result<Descriptor> OpenFile(const std::filesystem::path& path, int flags);
Result<int64_t> FileBytes(const Descriptor& file, const std::filesystem::path& path);
// Space that the file occupies on its file system; 0 for what is not there.
int64_t DiskBytes(const std::filesystem::path& path);

Status WriteAt(const Descriptor& file, const std::filesystem::path& path, int64_t offset,
               std::span<const std::byte> bytes);
// Fewer bytes than asked for only at the end of the file.
Result<size_t> ReadAt(const Descriptor& file, const std::filesystem::path& path, int64_t offset,
                      std::span<std::byte> bytes);
Status SyncData(const Descriptor& file, const std::filesystem::path& path);
// Makes the names in a directory last.
Status SyncDirectory(const std::filesystem::path& directory);
Status CreateDirectory(const std::filesystem::path& directory);
// What is not there counts as removed.
Status RemoveFile(const std::filesystem::path& path);
// Names of the regular files in a directory, sorted.
Result<std::vector<std::string>> FileNames(const std::filesystem::path& directory);

}  // namespace dsv
