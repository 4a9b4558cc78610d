#include "store/store_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

namespace dsv {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWriterFile = "lock";
constexpr const char* kReaderFile = "readers";

bool Lock(const Descriptor& file, int operation) {
  int result = 0;
  while ((result = flock(file.get(), operation)) != 0 && errno == EINTR) {
  }
  return result == 0;
}

std::string ReadHolder(const Descriptor& file) {
  char text[24] = {};
  const ssize_t count = pread(file.get(), text, sizeof text - 1, 0);
  return count > 0 ? std::string(text, static_cast<size_t>(count)) : "(unknown)";
}

// Only for the message to others, so failing to write it does no harm.
void WriteHolder(const Descriptor& file, const fs::path& path) {
  const std::string text = std::to_string(getpid());
  if (ftruncate(file.get(), 0) == 0) (void)WriteAt(file, path, 0, std::as_bytes(std::span(text)));
}

}  // namespace

Result<StoreLock> StoreLock::Acquire(const fs::path& directory) {
  const fs::path path = directory / kWriterFile;
  DSV_ASSIGN(Descriptor writer, OpenFile(path, O_RDWR | O_CREAT));
  DSV_ASSIGN(Descriptor readers, OpenFile(directory / kReaderFile, O_RDWR | O_CREAT));
  if (!Lock(writer, LOCK_EX | LOCK_NB)) {
    if (errno != EWOULDBLOCK) return FailErrno(path, "lock");
    return Fail("{}: process {} is writing to this store, expected no other writer",
                directory.string(), ReadHolder(writer));
  }
  WriteHolder(writer, path);
  return StoreLock(std::move(writer), std::move(readers));
}

bool StoreLock::WithoutReaders(const std::function<void()>& work) const {
  if (!Lock(readers_, LOCK_EX | LOCK_NB)) return false;
  work();
  Lock(readers_, LOCK_UN);
  return true;
}

std::shared_ptr<const void> AcquireReaderLock(const fs::path& directory) {
  auto file =
      std::make_shared<Descriptor>(open((directory / kReaderFile).c_str(), O_RDONLY | O_CLOEXEC));
  if (!*file || !Lock(*file, LOCK_SH)) return nullptr;
  return file;
}

}  // namespace dsv
