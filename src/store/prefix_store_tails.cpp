// Tails: one file each, with one record.
#include <algorithm>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "store/prefix_store.h"
#include "store/segment_files.h"
#include "store/store_index.h"

namespace dsv {
namespace {

namespace fs = std::filesystem;

struct TailPin {
  MappedFile mapping;
  std::shared_ptr<const void> reader_lock;
};

bool IsPrefix(std::span<const int32_t> prefix, std::span<const int32_t> tokens) {
  return prefix.size() <= tokens.size() && std::equal(prefix.begin(), prefix.end(), tokens.begin());
}

}  // namespace

fs::path PrefixStore::TailPath(const ChainKey& key) const {
  return directory_ / "tails" / (Hex(key) + ".tail");
}

Result<PutOutcome> PrefixStore::PutTail(const ChainKey& parent, std::span<const int32_t> rest,
                                        Parts parts) {
  DSV_TRY(CheckWritable());
  Record record{TailKey(parent, rest), parent, 0, {rest.begin(), rest.end()}, {}};
  record.parts = DescribeParts(record.key, parts);
  const ChainKey key = record.key;
  const std::lock_guard lock(mutex_);
  Result<PutOutcome> outcome = WriteTail(std::move(record), parts);
  if (!outcome) Abandon();
  if (outcome) {
    if (const Status status = FlushLocked(); !status) outcome = tl::unexpected(status.error());
  }
  if (outcome) return outcome;
  // Without an entry the file would only be in the way.
  const auto row = index_->FindTail(key);
  if (row && !*row) (void)RemoveFile(TailPath(key));
  return outcome;
}

Result<PutOutcome> PrefixStore::WriteTail(Record record, Parts parts) {
  DSV_ASSIGN(const std::optional<TailRow> known, index_->FindTail(record.key));
  if (known) {
    tail_uses_[known->id] = Now();
    return PutOutcome::kPresent;
  }
  DSV_ASSIGN(const std::optional<BlockRow> parent, index_->FindBlock(record.parent));
  if (!parent) return PutOutcome::kNoParent;
  record.depth = parent->depth;
  const uint64_t bytes = kFileHeaderBytes + record.Bytes();
  DSV_ASSIGN(const bool has_room, MakeRoom(bytes, parent->id));
  if (!has_room) return PutOutcome::kNoRoom;

  const uint64_t file_id = RandomFileId();
  DSV_ASSIGN(AtomicFile file, AtomicFile::Create(TailPath(record.key)));
  DSV_TRY(file.Write(EncodeFileHeader(StoreFileKind::kTail, file_id)));
  DSV_TRY(file.Write(EncodeRecordHeader(record, file_id)));
  for (const auto& part : parts) DSV_TRY(file.Write(part));
  DSV_TRY(file.Commit());
  DSV_TRY(SyncDirectory(directory_ / "tails"));
  written_tail_bytes_ += static_cast<int64_t>(bytes);
  DSV_TRY(index_->AddTail({.id = 0,
                           .key = record.key,
                           .parent = parent->id,
                           .bytes = static_cast<int64_t>(bytes),
                           .rest = std::move(record.tokens)},
                          Now()));
  return PutOutcome::kWritten;
}

Result<std::optional<StoredTail>> PrefixStore::FindTail(const ChainKey& parent,
                                                        std::span<const int32_t> following) {
  const std::lock_guard lock(mutex_);
  DSV_ASSIGN(const std::optional<BlockRow> row, index_->FindBlock(parent));
  if (!row) return std::nullopt;
  DSV_ASSIGN(const std::vector<TailRow> tails, index_->TailsOf(row->id));
  for (const TailRow& tail : tails) {
    if (!IsPrefix(tail.rest, following) || damaged_.contains(tail.key)) continue;
    DSV_ASSIGN(std::optional<StoredTail> found, OpenTail(tail, *row));
    if (!found) continue;
    if (!options_.read_only) tail_uses_[tail.id] = Now();
    Touch(*row);
    return found;
  }
  return std::nullopt;
}

Result<std::optional<StoredTail>> PrefixStore::OpenTail(const TailRow& row,
                                                        const BlockRow& parent) {
  const fs::path path = TailPath(row.key);
  std::error_code error;
  if (!fs::exists(path, error) && !error) {
    DSV_TRY(DropTailRow(row, "its file is gone"));
    return std::nullopt;
  }
  DSV_ASSIGN(MappedFile mapping, MappedFile::Open(path));
  const auto bytes = mapping.bytes();
  const auto file_id = ParseFileHeader(bytes, StoreFileKind::kTail, path.string());
  if (!file_id) {
    DSV_TRY(DropTailRow(row, file_id.error().message));
    return std::nullopt;
  }
  auto record = ParseRecordHeader(bytes.subspan(kFileHeaderBytes), *file_id);
  const bool is_ours = record && record->key == row.key && record->parent == parent.key &&
                       record->depth == parent.depth && record->tokens == row.rest;
  const uint64_t payload = is_ours ? kFileHeaderBytes + record->HeaderBytes() : 0;
  if (!is_ours || bytes.size() < payload + record->PayloadBytes()) {
    DSV_TRY(DropTailRow(
        row, record ? "its file holds something else or is cut off" : record.error().message));
    return std::nullopt;
  }
  auto pin = std::make_shared<TailPin>(TailPin{std::move(mapping), reader_lock_});
  StoredBlock block(row.key, std::move(record->parts), bytes.data() + payload, std::move(pin));
  for (size_t i = 0; i < block.part_count(); ++i) {
    if (block.Verify(i)) continue;
    DSV_TRY(DropTailRow(row, fmt::format("part {}: wrong checksum", i)));
    return std::nullopt;
  }
  const int64_t position = parent.depth * kBlockTokens + std::ssize(row.rest);
  return StoredTail{position, row.rest, std::move(block)};
}

Status PrefixStore::DropTail(const ChainKey& parent, std::span<const int32_t> rest) {
  DSV_TRY(CheckWritable());
  const std::lock_guard lock(mutex_);
  DSV_ASSIGN(const std::optional<TailRow> row, index_->FindTail(TailKey(parent, rest)));
  if (!row) return {};
  const Status status = index_->RemoveTail(*row);
  if (!status) Abandon();
  return status;
}

Status PrefixStore::DropTailRow(const TailRow& row, std::string_view why) {
  notes_.push_back(fmt::format("{}: tail {}: {}; dropped", directory_.string(), Hex(row.key), why));
  if (options_.read_only) {
    damaged_.insert(row.key);
    return {};
  }
  const Status status = index_->RemoveTail(row);
  if (!status) Abandon();
  return status;
}

}  // namespace dsv
