// The state of sequences on disk: blocks of rows named by the tokens that they stand for, and tails
// (what a session needs besides rows to go on at a position). What the bytes mean is the caller's.
//
// A store is a directory: index.sqlite says what is there; segments/ has the blocks in append-only
// files; tails/ has one file per tail. One process at a time writes; others may read beside it.
// What Flush() or PutTail() acknowledged survives a kill at any moment and is verified against its
// checksum before it is used; anything else is cut off when the store is opened again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "store/chain_key.h"
#include "store/record.h"

namespace dsv {

class PinTable;
class SegmentFiles;
class StoreIndex;
class StoreLock;
struct BlockRow;
struct TailRow;

struct StoreOptions {
  // Blocks and tails together; the index comes on top. 0: no cap.
  uint64_t max_bytes = 0;
  // A new segment begins when the last one has this size.
  uint64_t segment_bytes = uint64_t{256} << 20;
  // Needs no lock and no writable directory; sees what the writing process has acknowledged.
  bool read_only = false;
};

// A view of one record, valid as long as it or a copy of it lives, whatever happens to the store:
// space under it is given back only after the last copy is gone. Reading may page in from disk.
class StoredBlock {
 public:
  StoredBlock(const ChainKey& key, std::vector<RecordPart> parts, const std::byte* payload,
              std::shared_ptr<const void> pin);

  size_t part_count() const { return parts_.size(); }
  // Parts follow each other without gaps; the first byte is aligned to 64.
  std::span<const std::byte> part(size_t index) const;
  // Starts reading the part from disk and does not wait for it.
  void Prefetch(size_t index) const;
  // Reads the whole part. Until it said true the part may hold anything. If it says false, call
  // PrefixStore::MarkDamaged.
  bool Verify(size_t index) const;

 private:
  ChainKey key_;
  std::vector<RecordPart> parts_;
  std::vector<uint64_t> offsets_;
  const std::byte* payload_;
  std::shared_ptr<const void> pin_;
};

struct StoredTail {
  int64_t position = 0;       // tokens before it: blocks and rest
  std::vector<int32_t> rest;  // those after the last whole block
  StoredBlock block;          // verified
};

enum class PutOutcome {
  kWritten,
  kPresent,   // was there before; nothing written
  kNoRoom,    // the cap is reached and everything else is in use or newer than the last flush
  kNoParent,  // the parent was never put, or has been evicted or dropped
};

// A session under a name: where to continue, and the tokens to recompute it from if its blocks are
// gone.
struct NamedSession {
  std::string name;
  std::string identity;  // as given to AddRoot
  ChainKey chain;        // its last whole block, or the root
  int64_t position = 0;
  std::vector<int32_t> tokens;
};

struct NameInfo {
  std::string name;
  std::string identity;
  int64_t tokens = 0;
  int64_t updated_ms = 0;  // since 1970, as all times here
};

// A path from a root to a block without successors.
struct ChainInfo {
  ChainKey key;
  std::string identity;  // empty if the index was rebuilt and nobody has added the root since
  int64_t tokens = 0;    // up to its longest tail
  int64_t blocks = 0;
  int64_t bytes = 0;  // blocks and tails on the path; chains share their common prefix
  int64_t last_use_ms = 0;
};

struct StoreStat {
  int64_t chains = 0;
  int64_t blocks = 0;
  int64_t tails = 0;
  int64_t names = 0;
  int64_t segments = 0;
  int64_t block_bytes = 0;  // live records with their headers
  int64_t tail_bytes = 0;
  int64_t dead_bytes = 0;  // evicted, and not yet given back to the file system
  int64_t index_bytes = 0;
  int64_t disk_bytes = 0;  // what the file system says all files occupy
  // Since the store was opened. The index is an estimate from above: pages written to its log,
  // twice.
  int64_t written_segment_bytes = 0;
  int64_t written_tail_bytes = 0;
  int64_t written_index_bytes = 0;
};

struct VerifyReport {
  int64_t blocks = 0;
  int64_t tails = 0;
  int64_t bytes = 0;
  std::vector<std::string> problems;  // one line each
};

// Bytes done and in total.
using StoreProgress = std::function<void(int64_t done, int64_t total)>;

// Any thread may call anything; calls exclude each other.
class PrefixStore {
 public:
  // Creates the directory unless read-only. Fails if another process writes to it, if its format
  // is of another version, or if its index is missing or damaged (see RebuildStore).
  static Result<std::unique_ptr<PrefixStore>> Open(const std::filesystem::path& directory,
                                                   const StoreOptions& options = {});
  // Flushes; an error of that is lost, so flush before.
  ~PrefixStore();
  PrefixStore(const PrefixStore&) = delete;
  PrefixStore& operator=(const PrefixStore&) = delete;

  // Registers the beginning of chains and returns RootKey(identity).
  Result<ChainKey> AddRoot(std::string_view identity);

  // Put, flushed or not.
  bool Contains(const ChainKey& key) const;
  // Stores the block NextKey(parent, tokens), of at most a few thousand parts. A failure (a full
  // disk) undoes everything since the last flush; what was flushed stays, and the store can be used
  // on.
  Result<PutOutcome> Put(const ChainKey& parent, std::span<const int32_t> tokens,
                         std::span<const std::span<const std::byte>> parts);
  // Acknowledges: everything put so far is on disk. A failure undoes as that of Put.
  Status Flush();
  // A flushed block. Reads no byte of it: checksums are bound to the key and kept in the index, so
  // a wrong index, segment or offset shows in StoredBlock::Verify.
  Result<std::optional<StoredBlock>> Get(const ChainKey& key);
  // Drops a block that failed verification, and what hangs below it.
  void MarkDamaged(const ChainKey& key, std::string_view why);

  // Stores and acknowledges the tail at `rest` (fewer than kBlockTokens) after `parent`, and with
  // it everything put so far.
  Result<PutOutcome> PutTail(const ChainKey& parent, std::span<const int32_t> rest,
                             std::span<const std::span<const std::byte>> parts);
  // The longest tail of `parent` whose rest is a prefix of `following`.
  Result<std::optional<StoredTail>> FindTail(const ChainKey& parent,
                                             std::span<const int32_t> following);
  // Nothing happens if there is none. Takes effect on disk with the next flush.
  Status DropTail(const ChainKey& parent, std::span<const int32_t> rest);

  // Names are replaced as a whole and acknowledged on return. Of the tokens only what changed is
  // written.
  Status PutName(const NamedSession& session);
  Result<std::optional<NamedSession>> GetName(std::string_view name) const;
  // Says whether there was one.
  Result<bool> DropName(std::string_view name);
  Result<std::vector<NameInfo>> ListNames() const;

  Result<std::vector<ChainInfo>> ListChains() const;
  Result<StoreStat> Stat() const;
  // Reads everything, and drops what is damaged unless read-only. Other calls may go on meanwhile.
  Result<VerifyReport> Verify(const StoreProgress& progress = {});
  // Evicts down to the cap, gives space back and shortens the index's log.
  Status Gc();
  // What was found wrong and dropped since the last call, one line each.
  std::vector<std::string> TakeNotes();

  const std::filesystem::path& directory() const { return directory_; }

 private:
  using Parts = std::span<const std::span<const std::byte>>;

  PrefixStore(std::filesystem::path directory, const StoreOptions& options);

  // From here on the mutex is held by the caller.
  Status Start();
  Status CheckWritable() const;
  int64_t Now();
  void Touch(const BlockRow& row);
  Status WriteUses();
  // Evicts until `bytes` more fit below the cap, but never the block `keep`. False if that fails.
  Result<bool> MakeRoom(uint64_t bytes, int64_t keep);
  Result<PutOutcome> PutRecord(Record record, Parts parts);
  Status WriteOut();
  Status FlushLocked();
  // Forgets everything since the last commit.
  void Abandon();
  Status Drop(const BlockRow& row, std::string_view why);
  Result<std::optional<StoredBlock>> View(const BlockRow& row);

  Result<PutOutcome> WriteTail(Record record, Parts parts);
  Result<std::optional<StoredTail>> OpenTail(const TailRow& row, const BlockRow& parent);
  Status DropTailRow(const TailRow& row, std::string_view why);
  std::filesystem::path TailPath(const ChainKey& key) const;

  // What a crash may have left: torn ends, files without an entry, entries without a file.
  Status Recover();
  Status RecoverSegments();
  Status RecoverTails();
  Status CheckSegment(int64_t segment, int64_t bytes);
  void ReturnSpace();
  Status ReturnSegments();
  Status PunchSegment(int64_t segment);
  void VerifySegment(int64_t segment, VerifyReport& report,
                     const std::function<void(int64_t)>& add);
  void VerifyTails(VerifyReport& report, const std::function<void(int64_t)>& add);

  std::filesystem::path directory_;
  StoreOptions options_;
  mutable std::mutex mutex_;
  std::unique_ptr<StoreLock> lock_;          // null if read-only
  std::shared_ptr<const void> reader_lock_;  // held by views too; null if writing
  std::unique_ptr<StoreIndex> index_;
  std::unique_ptr<SegmentFiles> segments_;
  std::shared_ptr<PinTable> pins_;  // shared with views
  // Times of last use since the last flush. A use of a block stands for all before it in its chain.
  std::unordered_map<int64_t, int64_t> block_uses_;
  std::unordered_map<int64_t, int64_t> tail_uses_;
  std::unordered_set<ChainKey> damaged_;  // if read-only
  std::vector<std::string> notes_;
  int64_t clock_ = 0;
  int64_t written_tail_bytes_ = 0;
  bool can_punch_ = true;
};

// What RebuildStore found.
struct RebuildReport {
  int64_t blocks = 0;
  int64_t tails = 0;
  bool has_names = false;  // of sessions, taken over from the old index
};

// Makes a new index from the segments and tails, which it reads whole, for an index that is damaged
// or lost. Whatever does not verify is left out. Until it is complete the old index stays. A store
// of a newer format is refused: nothing in it would verify.
Result<RebuildReport> RebuildStore(const std::filesystem::path& directory,
                                   const StoreProgress& progress = {});

}  // namespace dsv
