#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace dsv {
namespace {

tl::unexpected<Error> FailErrno(const std::filesystem::path& path, const char* action) {
  return Fail("{}: cannot {}: {}", path.string(), action, std::generic_category().message(errno));
}

}  // namespace

Result<std::string> ReadFile(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return FailErrno(path, "open");
  std::string text;
  char buffer[1 << 16];
  ssize_t count = 0;
  while ((count = read(descriptor, buffer, sizeof buffer)) > 0 || (count < 0 && errno == EINTR)) {
    if (count > 0) text.append(buffer, static_cast<size_t>(count));
  }
  const int error = errno;
  close(descriptor);
  errno = error;
  if (count < 0) return FailErrno(path, "read");
  return text;
}

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path partial, int descriptor)
    : path_(std::move(path)), partial_(std::move(partial)), descriptor_(descriptor) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(partial_.c_str());
}

std::filesystem::path AtomicFile::PartialPath(const std::filesystem::path& path) {
  std::filesystem::path partial = path;
  partial += ".partial";
  return partial;
}

Result<AtomicFile> AtomicFile::Create(const std::filesystem::path& path) {
  // Found now and not by Commit, after the work.
  if (!path.has_filename()) return Fail("{}: expected the name of a file", path.string());
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return Fail("{}: expected a file to write, found {}", path.string(),
                std::filesystem::is_directory(status) ? "a directory" : "a device or a pipe");
  }
  std::filesystem::path partial = PartialPath(path);
  const int descriptor = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return FailErrno(partial, "create");
  return AtomicFile(path, std::move(partial), descriptor);
}

Status AtomicFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FailErrno(partial_, "write");
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

Status AtomicFile::WriteAt(int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(descriptor_, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FailErrno(partial_, "write");
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += count;
  }
  return {};
}

Status AtomicFile::Reserve(int64_t size) {
  if (size == 0 || fallocate(descriptor_, 0, 0, size) == 0) return {};
  if (errno != EOPNOTSUPP && errno != ENOSYS) {
    return FailErrno(partial_, fmt::format("reserve {} bytes", size).c_str());
  }
  if (ftruncate(descriptor_, size) != 0) return FailErrno(partial_, "resize");
  return {};
}

Status AtomicFile::Commit() {
  if (fsync(descriptor_) != 0) return FailErrno(partial_, "flush");
  if (rename(partial_.c_str(), path_.c_str()) != 0) return FailErrno(path_, "rename to");
  close(std::exchange(descriptor_, -1));
  return {};
}

Status WriteFile(const std::filesystem::path& path, std::string_view text) {
  DSV_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  DSV_TRY(file.Write(text));
  return file.Commit();
}

}  // namespace dsv
