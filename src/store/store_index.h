// What a store knows about its files: blocks in their tree, tails, names, segments and dead space,
// in SQLite. Changes gather in one transaction until Commit().
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/database.h"
#include "store/prefix_store.h"
#include "store/record.h"

namespace dsv {

// Roots are blocks of depth 0 without parent, place or parts.
struct BlockRow {
  int64_t id = 0;
  ChainKey key;
  int64_t parent = 0;
  int64_t depth = 0;
  int64_t segment = 0;
  int64_t offset = 0;
  int64_t bytes = 0;
  std::vector<RecordPart> parts;
};

struct TailRow {
  int64_t id = 0;
  ChainKey key;
  int64_t parent = 0;
  int64_t bytes = 0;
  std::vector<int32_t> rest;
};

struct SegmentRow {
  int64_t id = 0;
  int64_t bytes = 0;  // up to the end of its last record
};

struct DeadRange {
  int64_t segment = 0;
  int64_t offset = 0;
  int64_t bytes = 0;
  bool is_returned = false;  // to the file system
};

// The next to go, by last use: a tail, or a block with neither successors nor tails.
struct Victim {
  bool is_tail = false;
  int64_t id = 0;
  int64_t segment = 0;  // of a block
  int64_t offset = 0;
};

class StoreIndex {
 public:
  // Makes a new one if there is none, unless read-only.
  static Result<std::unique_ptr<StoreIndex>> Open(const std::filesystem::path& path,
                                                  bool read_only);

  // Fails if the file is the index of a store with a newer format.
  static Status RefuseNewer(const std::filesystem::path& path);

  // Undoes everything since the last commit if it fails.
  Status Commit();
  void Rollback();
  bool HasChanges() const { return database_.InTransaction(); }
  // Moves the log into the index proper.
  Status Checkpoint();

  int64_t live_bytes() const { return live_bytes_; }
  // Blocks with a greater id are not committed yet.
  int64_t committed_id() const { return committed_id_; }
  int64_t WrittenBytes() const { return 2 * database_.PagesWritten() * page_bytes_; }

  Result<int64_t> AddRoot(const ChainKey& key, std::string_view identity);
  Result<std::optional<BlockRow>> FindBlock(const ChainKey& key);
  Result<std::optional<BlockRow>> BlockById(int64_t id);
  Status AddBlock(const BlockRow& row, int64_t last_use);
  // The block, all below it and their tails; says how many blocks that were.
  Result<int64_t> RemoveSubtree(int64_t id);
  Status SetBlockUse(int64_t id, int64_t last_use);

  // From the longest rest to the shortest.
  Result<std::vector<TailRow>> TailsOf(int64_t parent);
  Result<std::optional<TailRow>> FindTail(const ChainKey& key);
  Result<std::vector<TailRow>> AllTails();
  Status AddTail(const TailRow& row, int64_t last_use);
  Status RemoveTail(const TailRow& row);
  Status SetTailUse(int64_t id, int64_t last_use);
  // Whose files can go, once the removal is committed.
  std::vector<ChainKey> TakeRemovedTails() { return std::exchange(removed_tails_, {}); }

  // The least recently used one, if it is a block the first that `may_go` accepts.
  Result<std::optional<Victim>> FindVictim(const std::function<bool(const Victim&)>& may_go);
  // Its parent inherits the time of its last use.
  Status Evict(const Victim& victim);

  Status SetSegment(const SegmentRow& row);
  Status RemoveSegment(int64_t id);
  Result<std::vector<SegmentRow>> Segments();
  Result<bool> HasBlocks(int64_t segment);
  // Ordered by place, with the blocks that reach beyond `from`.
  Result<std::vector<BlockRow>> BlocksOf(int64_t segment, int64_t from);
  Result<std::vector<DeadRange>> DeadRanges(int64_t segment);
  Status AddDead(const DeadRange& range);
  // Segments with dead space that has not been returned.
  Result<std::vector<int64_t>> SegmentsToReturn();
  Status SetReturned(const DeadRange& range);

  Status PutName(const NamedSession& session, int64_t now);
  Result<std::optional<NamedSession>> GetName(std::string_view name);
  Result<bool> DropName(std::string_view name);
  Result<std::vector<NameInfo>> ListNames();
  // Copies all names of another index, or none.
  Status CopyNamesFrom(const std::filesystem::path& index);

  Result<std::vector<ChainInfo>> ListChains();
  // Fills what the index knows.
  Status AddTo(StoreStat& stat);
  Status CheckIntegrity();

 private:
  StoreIndex(Database database, std::string source)
      : database_(std::move(database)), source_(std::move(source)) {}

  Status CreateOrCheck(bool read_only);
  Status CheckVersion();
  Status Load();
  // Runs a statement in the open transaction, or begins one.
  template <class... Args>
  Status Change(const char* sql, const Args&... args) {
    if (!database_.InTransaction()) DSV_TRY(database_.Run("BEGIN IMMEDIATE"));
    return database_.Run(sql, args...);
  }
  Status RemoveBlock(int64_t id);
  Status DescribeChain(int64_t leaf, ChainInfo& chain);

  Database database_;
  std::string source_;
  int64_t page_bytes_ = 0;
  int64_t live_bytes_ = 0;
  int64_t next_id_ = 1;
  int64_t committed_id_ = 0;
  std::vector<ChainKey> removed_tails_;
};

std::filesystem::path IndexPath(const std::filesystem::path& directory);

}  // namespace dsv
