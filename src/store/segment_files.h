// The segments of a store: appending records to the last one, mapping any of them, giving back the
// space of dead records. What lies in them is known to the index only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/mapped_file.h"
#include "store/file_util.h"
#include "store/record.h"

namespace dsv {

// Where a record is.
struct Place {
  int64_t segment = 0;
  int64_t offset = 0;

  auto operator<=>(const Place&) const = default;
};

// Which records are in use; views may outlive the store.
class PinTable {
 public:
  void Add(const Place& place);
  void Remove(const Place& place);
  bool Has(const Place& place) const;

 private:
  mutable std::mutex mutex_;
  std::map<Place, int64_t> counts_;
};

class SegmentFiles {
 public:
  // New segments get numbers above `last`, which is continued if it has room.
  SegmentFiles(std::filesystem::path directory, int64_t segment_bytes)
      : directory_(std::move(directory)), segment_bytes_(segment_bytes) {}

  // Cuts off what was appended after `last` had `bytes` bytes; 0 for none.
  void ResetTo(int64_t last, int64_t bytes);
  // Not on disk before Sync().
  Result<Place> Append(const Record& record, std::span<const std::span<const std::byte>> parts);
  Status Sync();
  int64_t last() const { return last_; }
  int64_t end() const { return end_; }
  int64_t written_bytes() const { return written_bytes_; }

  // A mapping of at least `end` bytes. Null, with the reason, if the file is gone, too short or not
  // a segment of this version: then its blocks are lost.
  Result<std::shared_ptr<const MappedFile>> Map(int64_t segment, int64_t end, std::string& reason);
  // Whole pages inside the range read as zeros afterwards and take no space. False if the file
  // system cannot do that.
  Result<bool> Punch(int64_t segment, int64_t offset, int64_t bytes);
  Status Remove(int64_t segment);

  std::filesystem::path PathOf(int64_t segment) const;

 private:
  Status Roll();
  Status Continue();

  std::filesystem::path directory_;
  int64_t segment_bytes_;
  int64_t last_ = 0;
  int64_t end_ = 0;
  uint64_t file_id_ = 0;
  Descriptor file_;  // of the last segment, once something was appended
  bool is_synced_ = true;
  bool has_new_name_ = false;
  int64_t written_bytes_ = 0;
  std::unordered_map<int64_t, std::shared_ptr<const MappedFile>> maps_;
};

// The number in "000012.seg", or nothing.
std::optional<int64_t> SegmentNumber(const std::string& file_name);
uint64_t RandomFileId();

}  // namespace dsv
