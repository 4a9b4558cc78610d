#include "store/file_util.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace dsv {

namespace fs = std::filesystem;

Descriptor::~Descriptor() {
  if (value_ >= 0) close(value_);
}

tl::unexpected<Error> FailErrno(const fs::path& path, std::string_view action) {
  return Fail("{}: cannot {}: {}", path.string(), action, std::generic_category().message(errno));
}

Result<Descriptor> OpenFile(const fs::path& path, int flags) {
  Descriptor file(open(path.c_str(), flags | O_CLOEXEC, 0666));
  if (!file) return FailErrno(path, (flags & O_CREAT) != 0 ? "create" : "open");
  return file;
}

Result<int64_t> FileBytes(const Descriptor& file, const fs::path& path) {
  struct stat status = {};
  if (fstat(file.get(), &status) != 0) return FailErrno(path, "stat");
  return static_cast<int64_t>(status.st_size);
}

int64_t DiskBytes(const fs::path& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return 0;
  return static_cast<int64_t>(status.st_blocks) * 512;
}

Status WriteAt(const Descriptor& file, const fs::path& path, int64_t offset,
               std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(file.get(), bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FailErrno(path, "write");
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += count;
  }
  return {};
}

Result<size_t> ReadAt(const Descriptor& file, const fs::path& path, int64_t offset,
                      std::span<std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pread(file.get(), bytes.data() + done, bytes.size() - done,
                                offset + static_cast<int64_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FailErrno(path, "read");
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

Status SyncData(const Descriptor& file, const fs::path& path) {
  if (fdatasync(file.get()) != 0) return FailErrno(path, "flush");
  return {};
}

Status SyncDirectory(const fs::path& directory) {
  DSV_ASSIGN(const Descriptor descriptor, OpenFile(directory, O_RDONLY | O_DIRECTORY));
  if (fsync(descriptor.get()) != 0) return FailErrno(directory, "flush");
  return {};
}

Status CreateDirectory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return Fail("{}: cannot create: {}", directory.string(), error.message());
  return {};
}

Status RemoveFile(const fs::path& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return FailErrno(path, "remove");
  return {};
}

Result<std::vector<std::string>> FileNames(const fs::path& directory) {
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) names.push_back(entry->path().filename().string());
  }
  if (error) return Fail("{}: cannot list: {}", directory.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace dsv
