// What a store does besides storing: recovery when it is opened, giving space back, verification.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "store/prefix_store.h"
#include "store/segment_files.h"
#include "store/store_index.h"
#include "store/store_lock.h"

namespace dsv {
namespace {

namespace fs = std::filesystem;

// Holds the place of a record for as long as it is being read.
class ScopedPin {
 public:
  ScopedPin(PinTable& pins, const Place& place) : pins_(pins), place_(place) { pins_.Add(place_); }
  ScopedPin(const ScopedPin&) = delete;
  ScopedPin& operator=(const ScopedPin&) = delete;
  ~ScopedPin() { pins_.Remove(place_); }

 private:
  PinTable& pins_;
  Place place_;
};

// Empty, or what is wrong with the record at `offset`, of which `row` says what it should be.
std::string CheckRecord(const Descriptor& file, const fs::path& path, const BlockRow& row,
                        uint64_t file_id) {
  std::vector<std::byte> bytes(static_cast<size_t>(row.bytes));
  const auto count = ReadAt(file, path, row.offset, bytes);
  if (!count) return count.error().message;
  if (*count < bytes.size()) return fmt::format("{}: cut off", path.string());
  const auto record = ParseRecordHeader(bytes, file_id);
  if (!record) return record.error().message;
  if (record->key != row.key || record->depth != row.depth || record->parts != row.parts ||
      record->Bytes() != bytes.size() || std::ssize(record->tokens) != kBlockTokens ||
      NextKey(record->parent, record->tokens) != row.key) {
    return "its header and the index differ";
  }
  std::span<const std::byte> rest = std::span(bytes).subspan(record->HeaderBytes());
  for (size_t i = 0; i < record->parts.size(); ++i) {
    if (PartChecksum(row.key, i, rest.first(record->parts[i].bytes)) != record->parts[i].checksum) {
      return fmt::format("part {}: wrong checksum", i);
    }
    rest = rest.subspan(record->parts[i].bytes);
  }
  return {};
}

}  // namespace

Status PrefixStore::Recover() {
  DSV_TRY(RecoverSegments());
  DSV_TRY(RecoverTails());
  return FlushLocked();
}

Status PrefixStore::RecoverSegments() {
  DSV_ASSIGN(const std::vector<SegmentRow> rows, index_->Segments());
  std::unordered_set<int64_t> known;
  for (const SegmentRow& row : rows) {
    known.insert(row.id);
    DSV_TRY(CheckSegment(row.id, row.bytes));
  }
  DSV_ASSIGN(const std::vector<std::string> names, FileNames(directory_ / "segments"));
  for (const std::string& name : names) {
    const auto number = SegmentNumber(name);
    if (number && !known.contains(*number)) DSV_TRY(RemoveFile(directory_ / "segments" / name));
  }
  if (!rows.empty()) segments_->ResetTo(rows.back().id, rows.back().bytes);
  return {};
}

Status PrefixStore::CheckSegment(int64_t segment, int64_t bytes) {
  const fs::path path = segments_->PathOf(segment);
  std::error_code error;
  const uintmax_t found = fs::file_size(path, error);
  const int64_t size = error ? 0 : static_cast<int64_t>(found);
  if (error && error != std::errc::no_such_file_or_directory) {
    return Fail("{}: {}", path.string(), error.message());
  }
  if (size > bytes) {
    fs::resize_file(path, static_cast<uintmax_t>(bytes), error);
    if (error) return Fail("{}: cannot cut off: {}", path.string(), error.message());
  }
  if (size >= bytes) return {};
  DSV_ASSIGN(const std::vector<BlockRow> lost, index_->BlocksOf(segment, size));
  for (const BlockRow& row : lost) {
    DSV_ASSIGN(const std::optional<BlockRow> still, index_->BlockById(row.id));
    if (!still) continue;
    DSV_TRY(Drop(row, fmt::format("{} has {} bytes, expected {}", path.string(), size, bytes)));
  }
  if (size == 0) return index_->RemoveSegment(segment);
  return index_->SetSegment({segment, size});
}

Status PrefixStore::RecoverTails() {
  DSV_ASSIGN(const std::vector<TailRow> rows, index_->AllTails());
  DSV_ASSIGN(const std::vector<std::string> names, FileNames(directory_ / "tails"));
  std::unordered_set<std::string> files(names.begin(), names.end());
  for (const TailRow& row : rows) {
    if (files.erase(TailPath(row.key).filename().string()) == 0) {
      DSV_TRY(DropTailRow(row, "its file is gone"));
    }
  }
  for (const std::string& name : files) DSV_TRY(RemoveFile(directory_ / "tails" / name));
  return {};
}

void PrefixStore::ReturnSpace() {
  const Status status = ReturnSegments();
  if (!status) notes_.push_back(status.error().message);
}

// What this changes in the index goes out with the next flush: doing it again does no harm.
Status PrefixStore::ReturnSegments() {
  DSV_ASSIGN(const std::vector<int64_t> candidates, index_->SegmentsToReturn());
  std::vector<int64_t> partly_dead;
  for (const int64_t segment : candidates) {
    DSV_ASSIGN(const bool is_alive, index_->HasBlocks(segment));
    if (is_alive || segment == segments_->last()) {
      partly_dead.push_back(segment);
      continue;
    }
    DSV_TRY(segments_->Remove(segment));
    DSV_TRY(index_->RemoveSegment(segment));
  }
  if (partly_dead.empty() || !can_punch_) return {};
  Status status;
  lock_->WithoutReaders([&] {
    for (const int64_t segment : partly_dead) {
      if (status) status = PunchSegment(segment);
    }
  });
  return status;
}

// Neighbours are punched together, so that the page between them goes too.
Status PrefixStore::PunchSegment(int64_t segment) {
  DSV_ASSIGN(std::vector<DeadRange> ranges, index_->DeadRanges(segment));
  std::erase_if(ranges, [&](const DeadRange& range) {
    return pins_->Has({segment, range.offset});
  });
  for (size_t first = 0; first < ranges.size();) {
    size_t next = first;
    int64_t end = ranges[first].offset;
    bool is_new = false;
    for (; next < ranges.size() && ranges[next].offset == end; ++next) {
      end += ranges[next].bytes;
      is_new = is_new || !ranges[next].is_returned;
    }
    if (is_new) {
      DSV_ASSIGN(can_punch_,
                 segments_->Punch(segment, ranges[first].offset, end - ranges[first].offset));
      if (!can_punch_) return {};
    }
    for (; first < next; ++first) {
      DeadRange& range = ranges[first];
      if (!std::exchange(range.is_returned, true)) DSV_TRY(index_->AddDead(range));
    }
  }
  return {};
}

Status PrefixStore::Gc() {
  DSV_TRY(CheckWritable());
  const std::lock_guard lock(mutex_);
  const Result<bool> has_room = MakeRoom(0, 0);
  if (!has_room) {
    Abandon();
    return tl::unexpected(has_room.error());
  }
  DSV_TRY(FlushLocked());
  DSV_TRY(FlushLocked());
  return index_->Checkpoint();
}

Result<StoreStat> PrefixStore::Stat() const {
  const std::lock_guard lock(mutex_);
  StoreStat stat;
  DSV_TRY(index_->AddTo(stat));
  stat.written_segment_bytes = segments_->written_bytes();
  stat.written_tail_bytes = written_tail_bytes_;
  for (const char* folder : {".", "segments", "tails"}) {
    const fs::path path = directory_ / folder;
    DSV_ASSIGN(const std::vector<std::string> names, FileNames(path));
    for (const std::string& name : names) {
      const int64_t bytes = DiskBytes(path / name);
      stat.disk_bytes += bytes;
      if (name.starts_with("index.sqlite")) stat.index_bytes += bytes;
    }
  }
  return stat;
}

Result<VerifyReport> PrefixStore::Verify(const StoreProgress& progress) {
  VerifyReport report;
  std::vector<SegmentRow> segments;
  int64_t total = 0;
  {
    const std::lock_guard lock(mutex_);
    DSV_TRY(index_->CheckIntegrity());
    DSV_ASSIGN(segments, index_->Segments());
    total = index_->live_bytes();
  }
  const auto add = [&](int64_t bytes) {
    report.bytes += bytes;
    if (progress) progress(report.bytes, std::max(total, report.bytes));
  };
  for (const SegmentRow& segment : segments) VerifySegment(segment.id, report, add);
  VerifyTails(report, add);
  if (!options_.read_only) DSV_TRY(Flush());
  return report;
}

void PrefixStore::VerifySegment(int64_t segment, VerifyReport& report,
                                const std::function<void(int64_t)>& add) {
  std::vector<BlockRow> rows;
  {
    const std::lock_guard lock(mutex_);
    if (auto found = index_->BlocksOf(segment, 0)) rows = *std::move(found);
  }
  const fs::path path = segments_->PathOf(segment);
  const auto file = OpenFile(path, O_RDONLY);
  std::vector<std::byte> header(kFileHeaderBytes);
  const auto count = file ? ReadAt(*file, path, 0, header) : tl::unexpected(file.error());
  const auto file_id = count ? ParseFileHeader(std::span(header).first(*count),
                                               StoreFileKind::kSegment, path.string())
                             : tl::unexpected(count.error());
  for (const BlockRow& row : rows) {
    const ScopedPin pin(*pins_, {row.segment, row.offset});
    {
      // Evicted since, or put and not flushed yet.
      const std::lock_guard lock(mutex_);
      const auto still = index_->BlockById(row.id);
      if (!still || !*still || (!options_.read_only && row.id > index_->committed_id())) continue;
    }
    const std::string problem =
        file_id ? CheckRecord(*file, path, row, *file_id) : file_id.error().message;
    ++report.blocks;
    add(row.bytes);
    if (problem.empty()) continue;
    report.problems.push_back(fmt::format("block {}: {}", Hex(row.key), problem));
    MarkDamaged(row.key, problem);
  }
}

void PrefixStore::VerifyTails(VerifyReport& report, const std::function<void(int64_t)>& add) {
  std::vector<TailRow> rows;
  {
    const std::lock_guard lock(mutex_);
    if (auto found = index_->AllTails()) rows = *std::move(found);
  }
  for (const TailRow& row : rows) {
    const std::lock_guard lock(mutex_);
    const auto still = index_->FindTail(row.key);
    const auto parent = index_->BlockById(row.parent);
    if (!still || !*still || !parent || !*parent) continue;
    const auto tail = OpenTail(row, **parent);
    ++report.tails;
    add(row.bytes);
    if (tail && *tail) continue;
    report.problems.push_back(tail ? notes_.back() : tail.error().message);
  }
}

}  // namespace dsv
