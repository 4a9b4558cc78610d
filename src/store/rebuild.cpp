// A new index from what segments and tails say about themselves.
#include <algorithm>
#include <system_error>
#include <utility>

#include "io/mapped_file.h"
#include "store/prefix_store.h"
#include "store/segment_files.h"
#include "store/store_index.h"
#include "store/store_lock.h"

namespace dsv {
namespace {

namespace fs = std::filesystem;

// Records in the order in which they were written have parents before children: one pass suffices.
class Rebuilder {
 public:
  Rebuilder(fs::path directory, StoreIndex& index, const StoreProgress& progress)
      : directory_(std::move(directory)), index_(index), progress_(progress) {}

  Result<RebuildReport> Run() {
    DSV_ASSIGN(const std::vector<std::string> segments, FileNames(directory_ / "segments"));
    DSV_ASSIGN(const std::vector<std::string> tails, FileNames(directory_ / "tails"));
    for (const std::string& name : segments) {
      std::error_code ignored;
      total_ += static_cast<int64_t>(fs::file_size(directory_ / "segments" / name, ignored));
    }
    for (const std::string& name : segments) {
      if (const auto number = SegmentNumber(name)) DSV_TRY(AddSegment(*number, name));
    }
    for (const std::string& name : tails) DSV_TRY(AddTail(directory_ / "tails" / name));
    return report_;
  }

 private:
  Status AddSegment(int64_t segment, const std::string& name) {
    DSV_ASSIGN(const MappedFile file, MappedFile::Open(directory_ / "segments" / name));
    const auto bytes = file.bytes();
    const auto file_id = ParseFileHeader(bytes, StoreFileKind::kSegment, name);
    if (!file_id) return {};
    uint64_t end = kFileHeaderBytes;  // of the last record
    for (uint64_t at = end; at < bytes.size();) {
      if (progress_) progress_(done_ + static_cast<int64_t>(at), total_);
      const std::optional<Record> record = RecordAt(bytes.subspan(at), *file_id);
      if (!record || record->Bytes() > bytes.size() - at) {
        at += kRecordAlignment;
        continue;
      }
      DSV_ASSIGN(const bool is_added, AddBlock(*record, segment, static_cast<int64_t>(at)));
      if (is_added && at > end) DSV_TRY(AddDead(segment, end, at));
      at += record->Bytes();
      if (is_added) end = at;
    }
    done_ += std::ssize(bytes);
    return index_.SetSegment({segment, static_cast<int64_t>(end)});
  }

  Status AddDead(int64_t segment, uint64_t from, uint64_t to) {
    return index_.AddDead(
        {segment, static_cast<int64_t>(from), static_cast<int64_t>(to - from), false});
  }

  // A record that verifies; the padding after its last part may be missing, as in tails.
  static std::optional<Record> RecordAt(std::span<const std::byte> bytes, uint64_t file_id) {
    if (!LooksLikeRecord(bytes)) return std::nullopt;
    auto record = ParseRecordHeader(bytes, file_id);
    if (!record || record->HeaderBytes() + record->PayloadBytes() > bytes.size()) {
      return std::nullopt;
    }
    bytes = bytes.subspan(record->HeaderBytes());
    for (size_t i = 0; i < record->parts.size(); ++i) {
      const RecordPart& part = record->parts[i];
      if (PartChecksum(record->key, i, bytes.first(part.bytes)) != part.checksum) {
        return std::nullopt;
      }
      bytes = bytes.subspan(part.bytes);
    }
    return *std::move(record);
  }

  Result<bool> AddBlock(const Record& record, int64_t segment, int64_t offset) {
    if (record.tokens.size() != kBlockTokens ||
        NextKey(record.parent, record.tokens) != record.key) {
      return false;
    }
    DSV_ASSIGN(const std::optional<BlockRow> known, index_.FindBlock(record.key));
    if (known) return false;
    DSV_ASSIGN(const int64_t parent, ParentOf(record, record.depth - 1));
    if (parent == 0) return false;
    ++report_.blocks;
    DSV_TRY(index_.AddBlock({.id = 0,
                             .key = record.key,
                             .parent = parent,
                             .depth = record.depth,
                             .segment = segment,
                             .offset = offset,
                             .bytes = static_cast<int64_t>(record.Bytes()),
                             .parts = record.parts},
                            report_.blocks));
    return true;
  }

  // The parent's id, or 0 if there is none of this depth. Roots are known from their children only.
  Result<int64_t> ParentOf(const Record& record, int64_t depth) {
    if (depth == 0) return index_.AddRoot(record.parent, "");
    DSV_ASSIGN(const std::optional<BlockRow> parent, index_.FindBlock(record.parent));
    return parent && parent->depth == depth ? parent->id : 0;
  }

  Status AddTail(const fs::path& path) {
    DSV_ASSIGN(const MappedFile file, MappedFile::Open(path));
    const auto file_id = ParseFileHeader(file.bytes(), StoreFileKind::kTail, path.string());
    if (!file_id) return {};
    const auto record = RecordAt(file.bytes().subspan(kFileHeaderBytes), *file_id);
    if (!record || record->tokens.size() >= kBlockTokens ||
        TailKey(record->parent, record->tokens) != record->key ||
        path.filename() != Hex(record->key) + ".tail") {
      return {};
    }
    DSV_ASSIGN(const int64_t parent, ParentOf(*record, record->depth));
    if (parent == 0) return {};
    ++report_.tails;
    return index_.AddTail({.id = 0,
                           .key = record->key,
                           .parent = parent,
                           .bytes = static_cast<int64_t>(kFileHeaderBytes + record->Bytes()),
                           .rest = record->tokens},
                          report_.blocks);
  }

  fs::path directory_;
  StoreIndex& index_;
  const StoreProgress& progress_;
  RebuildReport report_;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

Status RemoveIndex(const fs::path& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) DSV_TRY(RemoveFile(path.string() + suffix));
  return {};
}

Result<RebuildReport> WriteIndex(const fs::path& directory, const fs::path& path,
                                 const StoreProgress& progress) {
  DSV_ASSIGN(const std::unique_ptr<StoreIndex> index, StoreIndex::Open(path, false));
  const Status names = index->CopyNamesFrom(IndexPath(directory));
  DSV_ASSIGN(RebuildReport report, Rebuilder(directory, *index, progress).Run());
  report.has_names = names.has_value();
  DSV_TRY(index->Commit());
  DSV_TRY(index->Checkpoint());
  return report;
}

}  // namespace

Result<RebuildReport> RebuildStore(const fs::path& directory, const StoreProgress& progress) {
  DSV_ASSIGN(const StoreLock lock, StoreLock::Acquire(directory));
  const fs::path path = IndexPath(directory);
  DSV_TRY(StoreIndex::RefuseNewer(path));
  const fs::path fresh = directory / "rebuild.sqlite";
  DSV_TRY(RemoveIndex(fresh));
  const Result<RebuildReport> report = WriteIndex(directory, fresh, progress);
  if (!report) {
    (void)RemoveIndex(fresh);
    return report;
  }
  // Between these steps there is no index, which opening the store takes for what it is.
  DSV_TRY(RemoveIndex(path));
  if (rename(fresh.c_str(), path.c_str()) != 0) return FailErrno(path, "rename to");
  DSV_TRY(SyncDirectory(directory));
  return report;
}

}  // namespace dsv
