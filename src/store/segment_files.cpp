#include "store/segment_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace dsv {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPageBytes = 4096;

}  // namespace

void PinTable::Add(const Place& place) {
  const std::lock_guard lock(mutex_);
  ++counts_[place];
}

void PinTable::Remove(const Place& place) {
  const std::lock_guard lock(mutex_);
  const auto found = counts_.find(place);
  if (--found->second == 0) counts_.erase(found);
}

bool PinTable::Has(const Place& place) const {
  const std::lock_guard lock(mutex_);
  return counts_.contains(place);
}

fs::path SegmentFiles::PathOf(int64_t segment) const {
  return directory_ / fmt::format("{:06}.seg", segment);
}

void SegmentFiles::ResetTo(int64_t last, int64_t bytes) {
  if (last != last_) file_ = Descriptor();
  last_ = last;
  end_ = bytes;
  is_synced_ = true;
  has_new_name_ = false;
  // The next record is written here anyway, so that nothing depends on whether this succeeds.
  if (last > 0) {
    std::error_code ignored;
    if (fs::file_size(PathOf(last), ignored) > static_cast<uintmax_t>(bytes) && !ignored) {
      fs::resize_file(PathOf(last), static_cast<uintmax_t>(bytes), ignored);
    }
  }
}

// Begins a new segment.
Status SegmentFiles::Roll() {
  DSV_TRY(Sync());
  const fs::path path = PathOf(last_ + 1);
  DSV_ASSIGN(Descriptor file, OpenFile(path, O_RDWR | O_CREAT | O_TRUNC));
  const uint64_t file_id = RandomFileId();
  DSV_TRY(WriteAt(file, path, 0, EncodeFileHeader(StoreFileKind::kSegment, file_id)));
  file_ = std::move(file);
  file_id_ = file_id;
  ++last_;
  end_ = kFileHeaderBytes;
  written_bytes_ += end_;
  has_new_name_ = true;
  return {};
}

// Opens the last segment again.
Status SegmentFiles::Continue() {
  const fs::path path = PathOf(last_);
  DSV_ASSIGN(Descriptor file, OpenFile(path, O_RDWR));
  std::array<std::byte, kFileHeaderBytes> header{};
  DSV_ASSIGN(const size_t count, ReadAt(file, path, 0, header));
  DSV_ASSIGN(file_id_, ParseFileHeader(std::span(header).first(count), StoreFileKind::kSegment,
                                       path.string()));
  file_ = std::move(file);
  return {};
}

Result<Place> SegmentFiles::Append(const Record& record,
                                   std::span<const std::span<const std::byte>> parts) {
  // A last segment that cannot be continued is left as it is.
  if (last_ > 0 && !file_ && end_ < segment_bytes_) (void)Continue();
  if (!file_ || end_ >= segment_bytes_) DSV_TRY(Roll());
  const fs::path path = PathOf(last_);
  is_synced_ = false;
  int64_t at = end_;
  const auto write = [&](std::span<const std::byte> bytes) -> Status {
    DSV_TRY(WriteAt(file_, path, at, bytes));
    at += std::ssize(bytes);
    return {};
  };
  DSV_TRY(write(EncodeRecordHeader(record, file_id_)));
  for (const auto& part : parts) DSV_TRY(write(part));
  constexpr std::array<std::byte, kRecordAlignment> kZeros{};
  const int64_t next = end_ + static_cast<int64_t>(record.Bytes());
  DSV_TRY(write(std::span(kZeros).first(static_cast<size_t>(next - at))));
  written_bytes_ += next - end_;
  return Place{last_, std::exchange(end_, next)};
}

Status SegmentFiles::Sync() {
  if (!is_synced_) DSV_TRY(SyncData(file_, PathOf(last_)));
  is_synced_ = true;
  if (has_new_name_) DSV_TRY(SyncDirectory(directory_));
  has_new_name_ = false;
  return {};
}

Result<std::shared_ptr<const MappedFile>> SegmentFiles::Map(int64_t segment, int64_t end,
                                                            std::string& reason) {
  auto& kept = maps_[segment];
  if (kept && std::ssize(kept->bytes()) >= end) return kept;
  const fs::path path = PathOf(segment);
  std::error_code error;
  if (!fs::exists(path, error) && !error) {
    reason = fmt::format("{} is gone", path.string());
    return nullptr;
  }
  DSV_ASSIGN(auto opened, MappedFile::Open(path));
  auto mapped = std::make_shared<const MappedFile>(std::move(opened));
  const auto header = ParseFileHeader(mapped->bytes(), StoreFileKind::kSegment, path.string());
  if (!header) {
    reason = header.error().message;
    return nullptr;
  }
  if (std::ssize(mapped->bytes()) < end) {
    reason =
        fmt::format("{} has {} bytes, expected {}", path.string(), mapped->bytes().size(), end);
    return nullptr;
  }
  kept = std::move(mapped);
  return kept;
}

Result<bool> SegmentFiles::Punch(int64_t segment, int64_t offset, int64_t bytes) {
  const int64_t begin = (offset + kPageBytes - 1) / kPageBytes * kPageBytes;
  const int64_t end = (offset + bytes) / kPageBytes * kPageBytes;
  if (begin >= end) return true;
  const fs::path path = PathOf(segment);
  DSV_ASSIGN(const Descriptor file, OpenFile(path, O_RDWR));
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (fallocate(file.get(), mode, begin, end - begin) == 0) return true;
  if (errno == EOPNOTSUPP || errno == ENOSYS) return false;
  return FailErrno(path, "return space of");
}

Status SegmentFiles::Remove(int64_t segment) {
  maps_.erase(segment);
  return RemoveFile(PathOf(segment));
}

std::optional<int64_t> SegmentNumber(const std::string& file_name) {
  const size_t digits = file_name.find_first_not_of("0123456789");
  if (digits == 0 || digits > 15 ||
      file_name.substr(std::min(digits, file_name.size())) != ".seg") {
    return std::nullopt;
  }
  return std::stoll(file_name);
}

uint64_t RandomFileId() {
  uint64_t id = 0;
  while (getrandom(&id, sizeof id, 0) != static_cast<ssize_t>(sizeof id)) {
  }
  return id;
}

}  // namespace dsv
