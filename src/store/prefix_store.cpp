#include "store/prefix_store.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "store/segment_files.h"
#include "store/store_index.h"
#include "store/store_lock.h"

namespace dsv {
namespace {

namespace fs = std::filesystem;

// What a view of a block keeps alive.
struct Pin {
  Pin(std::shared_ptr<PinTable> pins, const Place& at, std::shared_ptr<const MappedFile> file,
      std::shared_ptr<const void> lock)
      : table(std::move(pins)), place(at), mapping(std::move(file)), reader_lock(std::move(lock)) {
    table->Add(place);
  }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  ~Pin() { table->Remove(place); }

  std::shared_ptr<PinTable> table;
  Place place;
  std::shared_ptr<const MappedFile> mapping;
  std::shared_ptr<const void> reader_lock;
};

// An index that is gone must not make all data look like leftovers of a crash.
Status RefuseDataWithoutIndex(const fs::path& directory) {
  std::error_code error;
  const uintmax_t size = fs::file_size(IndexPath(directory), error);
  if (!error && size > 0) return {};
  DSV_ASSIGN(const std::vector<std::string> names, FileNames(directory / "segments"));
  if (names.empty()) return {};
  return Fail("{}: missing beside {} segments; `dsv4 store gc --rebuild` makes a new one from them",
              IndexPath(directory).string(), names.size());
}

}  // namespace

StoredBlock::StoredBlock(const ChainKey& key, std::vector<RecordPart> parts,
                         const std::byte* payload, std::shared_ptr<const void> pin)
    : key_(key), parts_(std::move(parts)), payload_(payload), pin_(std::move(pin)) {
  offsets_.reserve(parts_.size());
  uint64_t offset = 0;
  for (const RecordPart& entry : parts_) {
    offsets_.push_back(offset);
    offset += entry.bytes;
  }
}

std::span<const std::byte> StoredBlock::part(size_t index) const {
  DSV_CHECK(index < parts_.size());
  return {payload_ + offsets_[index], parts_[index].bytes};
}

void StoredBlock::Prefetch(size_t index) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(part(index).data());
  const uintptr_t first = begin / page * page;
  madvise(reinterpret_cast<void*>(first), begin - first + part(index).size(), MADV_WILLNEED);
}

bool StoredBlock::Verify(size_t index) const {
  return PartChecksum(key_, index, part(index)) == parts_[index].checksum;
}

PrefixStore::PrefixStore(fs::path directory, const StoreOptions& options)
    : directory_(std::move(directory)), options_(options), pins_(std::make_shared<PinTable>()) {}

PrefixStore::~PrefixStore() {
  if (!options_.read_only && index_ && segments_) (void)Flush();
}

Result<std::unique_ptr<PrefixStore>> PrefixStore::Open(const fs::path& directory,
                                                       const StoreOptions& options) {
  std::unique_ptr<PrefixStore> store(new PrefixStore(directory, options));
  DSV_TRY(store->Start());
  return store;
}

Status PrefixStore::Start() {
  if (options_.read_only) {
    reader_lock_ = AcquireReaderLock(directory_);
  } else {
    DSV_TRY(CreateDirectory(directory_ / "segments"));
    DSV_TRY(CreateDirectory(directory_ / "tails"));
    DSV_TRY(SyncDirectory(directory_));
    DSV_ASSIGN(StoreLock lock, StoreLock::Acquire(directory_));
    lock_ = std::make_unique<StoreLock>(std::move(lock));
    DSV_TRY(RefuseDataWithoutIndex(directory_));
  }
  DSV_ASSIGN(index_, StoreIndex::Open(IndexPath(directory_), options_.read_only));
  segments_ = std::make_unique<SegmentFiles>(directory_ / "segments",
                                             static_cast<int64_t>(options_.segment_bytes));
  return options_.read_only ? Status() : Recover();
}

Status PrefixStore::CheckWritable() const {
  if (options_.read_only) return Fail("{}: opened read-only", directory_.string());
  return {};
}

// Milliseconds, but never the same twice, so that uses have an order.
int64_t PrefixStore::Now() {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  clock_ = std::max<int64_t>(clock_ + 1, now.count());
  return clock_;
}

void PrefixStore::Touch(const BlockRow& row) {
  if (options_.read_only) return;
  block_uses_.erase(row.parent);
  block_uses_[row.id] = Now();
}

Status PrefixStore::WriteUses() {
  for (const auto& [id, use] : block_uses_) DSV_TRY(index_->SetBlockUse(id, use));
  for (const auto& [id, use] : tail_uses_) DSV_TRY(index_->SetTailUse(id, use));
  block_uses_.clear();
  tail_uses_.clear();
  return {};
}

Result<bool> PrefixStore::MakeRoom(uint64_t bytes, int64_t keep) {
  if (options_.max_bytes == 0) return true;
  if (bytes > options_.max_bytes) return false;
  const auto limit = static_cast<int64_t>(options_.max_bytes - bytes);
  if (index_->live_bytes() <= limit) return true;
  DSV_TRY(WriteUses());
  // What is in use would not give its space back, and what is not committed may still be undone.
  const auto may_go = [&](const Victim& victim) {
    return victim.id != keep && victim.id <= index_->committed_id() &&
           !pins_->Has({victim.segment, victim.offset});
  };
  while (index_->live_bytes() > limit) {
    DSV_ASSIGN(const std::optional<Victim> victim, index_->FindVictim(may_go));
    if (!victim) return false;
    DSV_TRY(index_->Evict(*victim));
  }
  return true;
}

Result<ChainKey> PrefixStore::AddRoot(std::string_view identity) {
  const ChainKey key = RootKey(identity);
  if (options_.read_only) return key;
  const std::lock_guard lock(mutex_);
  const Result<int64_t> id = index_->AddRoot(key, identity);
  if (id) return key;
  Abandon();
  return tl::unexpected(id.error());
}

bool PrefixStore::Contains(const ChainKey& key) const {
  const std::lock_guard lock(mutex_);
  if (damaged_.contains(key)) return false;
  const auto row = index_->FindBlock(key);
  return row && row->has_value() && (*row)->parent != 0;
}

Result<PutOutcome> PrefixStore::Put(const ChainKey& parent, std::span<const int32_t> tokens,
                                    Parts parts) {
  DSV_TRY(CheckWritable());
  Record record{NextKey(parent, tokens), parent, 0, {tokens.begin(), tokens.end()}, {}};
  const std::lock_guard lock(mutex_);
  const Result<PutOutcome> outcome = PutRecord(std::move(record), parts);
  if (!outcome) Abandon();
  return outcome;
}

Result<PutOutcome> PrefixStore::PutRecord(Record record, Parts parts) {
  DSV_ASSIGN(const std::optional<BlockRow> known, index_->FindBlock(record.key));
  if (known) {
    Touch(*known);
    return PutOutcome::kPresent;
  }
  DSV_ASSIGN(const std::optional<BlockRow> parent, index_->FindBlock(record.parent));
  if (!parent) return PutOutcome::kNoParent;
  record.depth = parent->depth + 1;
  record.parts = DescribeParts(record.key, parts);
  const auto bytes = static_cast<int64_t>(record.Bytes());
  DSV_ASSIGN(const bool has_room, MakeRoom(record.Bytes(), parent->id));
  if (!has_room) return PutOutcome::kNoRoom;
  DSV_ASSIGN(const Place place, segments_->Append(record, parts));
  DSV_TRY(index_->SetSegment({place.segment, segments_->end()}));
  DSV_TRY(index_->AddBlock({.id = 0,
                            .key = record.key,
                            .parent = parent->id,
                            .depth = record.depth,
                            .segment = place.segment,
                            .offset = place.offset,
                            .bytes = bytes,
                            .parts = std::move(record.parts)},
                           Now()));
  return PutOutcome::kWritten;
}

Status PrefixStore::Flush() {
  DSV_TRY(CheckWritable());
  const std::lock_guard lock(mutex_);
  return FlushLocked();
}

Status PrefixStore::WriteOut() {
  DSV_TRY(segments_->Sync());
  DSV_TRY(WriteUses());
  return index_->Commit();
}

Status PrefixStore::FlushLocked() {
  const Status status = WriteOut();
  if (!status) {
    Abandon();
    return status;
  }
  for (const ChainKey& key : index_->TakeRemovedTails()) (void)RemoveFile(TailPath(key));
  ReturnSpace();
  return {};
}

void PrefixStore::Abandon() {
  index_->Rollback();
  const auto rows = index_->Segments();
  // If even that cannot be read, nothing is appended to a segment whose end is unknown.
  const bool is_known = rows && !rows->empty();
  segments_->ResetTo(is_known ? rows->back().id : segments_->last(),
                     is_known ? rows->back().bytes : std::numeric_limits<int64_t>::max());
}

Result<std::optional<StoredBlock>> PrefixStore::Get(const ChainKey& key) {
  const std::lock_guard lock(mutex_);
  if (damaged_.contains(key)) return std::nullopt;
  DSV_ASSIGN(const std::optional<BlockRow> row, index_->FindBlock(key));
  if (!row || row->parent == 0) return std::nullopt;
  if (!options_.read_only && row->id > index_->committed_id()) return std::nullopt;
  return View(*row);
}

Result<std::optional<StoredBlock>> PrefixStore::View(const BlockRow& row) {
  Record shape;
  shape.tokens.resize(kBlockTokens);
  shape.parts = row.parts;
  std::shared_ptr<const MappedFile> mapping;
  std::string reason = "its entry in the index is wrong";
  if (row.offset > 0 && static_cast<uint64_t>(row.bytes) == shape.Bytes()) {
    DSV_ASSIGN(mapping, segments_->Map(row.segment, row.offset + row.bytes, reason));
  }
  if (!mapping) {
    DSV_TRY(Drop(row, reason));
    return std::nullopt;
  }
  Touch(row);
  const std::byte* payload = mapping->bytes().data() + row.offset + shape.HeaderBytes();
  return StoredBlock(row.key, row.parts, payload,
                     std::make_shared<Pin>(pins_, Place{row.segment, row.offset},
                                           std::move(mapping), reader_lock_));
}

void PrefixStore::MarkDamaged(const ChainKey& key, std::string_view why) {
  const std::lock_guard lock(mutex_);
  const auto row = index_->FindBlock(key);
  if (row && row->has_value()) (void)Drop(**row, why);
}

Status PrefixStore::Drop(const BlockRow& row, std::string_view why) {
  std::string note = fmt::format("{}: block {}: {}", directory_.string(), Hex(row.key), why);
  if (options_.read_only) {
    damaged_.insert(row.key);
    notes_.push_back(std::move(note));
    return {};
  }
  const Result<int64_t> count = index_->RemoveSubtree(row.id);
  if (!count) {
    Abandon();
    return tl::unexpected(count.error());
  }
  notes_.push_back(fmt::format("{}; dropped with the {} after it", note, *count - 1));
  return {};
}

std::vector<std::string> PrefixStore::TakeNotes() {
  const std::lock_guard lock(mutex_);
  return std::exchange(notes_, {});
}

Status PrefixStore::PutName(const NamedSession& session) {
  DSV_TRY(CheckWritable());
  const std::lock_guard lock(mutex_);
  const Status status = index_->PutName(session, Now());
  if (status) return FlushLocked();
  Abandon();
  return status;
}

Result<std::optional<NamedSession>> PrefixStore::GetName(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  return index_->GetName(name);
}

Result<bool> PrefixStore::DropName(std::string_view name) {
  DSV_TRY(CheckWritable());
  const std::lock_guard lock(mutex_);
  const Result<bool> dropped = index_->DropName(name);
  if (!dropped) {
    Abandon();
    return dropped;
  }
  DSV_TRY(FlushLocked());
  return dropped;
}

Result<std::vector<NameInfo>> PrefixStore::ListNames() const {
  const std::lock_guard lock(mutex_);
  return index_->ListNames();
}

Result<std::vector<ChainInfo>> PrefixStore::ListChains() const {
  const std::lock_guard lock(mutex_);
  return index_->ListChains();
}

}  // namespace dsv
