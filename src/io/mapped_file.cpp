#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace dsv {
namespace {

tl::unexpected<Error> FailErrno(const std::filesystem::path& path, const char* action) {
  return Fail("{}: cannot {}: {}", path.string(), action, std::generic_category().message(errno));
}

class Descriptor {
 public:
  explicit Descriptor(const std::filesystem::path& path)
      : value_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}  // a FIFO does not wait
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  int get() const { return value_; }

 private:
  int value_;
};

}  // namespace

Result<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const Descriptor descriptor(path);
  if (descriptor.get() < 0) return FailErrno(path, "open");
  struct stat status = {};
  if (fstat(descriptor.get(), &status) != 0) return FailErrno(path, "stat");
  if (!S_ISREG(status.st_mode)) return Fail("{}: not a regular file", path.string());
  if (status.st_size == 0) return MappedFile({});
  const auto size = static_cast<size_t>(status.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, descriptor.get(), 0);
  if (address == MAP_FAILED) return FailErrno(path, "map");
  return MappedFile({static_cast<const std::byte*>(address), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace dsv
