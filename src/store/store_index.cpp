#include "store/store_index.h"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

namespace dsv {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kApplicationId = 0x44533450;  // "DS4P"
// A flush touches pages all over block_key; small ones keep what that writes below the 1 % of a
// block that the store may cost.
constexpr int64_t kPageBytes = 1024;
constexpr int64_t kLogPages = (int64_t{4} << 20) / kPageBytes;

constexpr const char* kSchema = R"(
BEGIN;
CREATE TABLE block(
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL,
  parent INTEGER NOT NULL,    -- 0: this is a root
  depth INTEGER NOT NULL,
  children INTEGER NOT NULL,  -- blocks and tails
  last_use INTEGER NOT NULL,
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, bytes INTEGER NOT NULL,
  parts BLOB NOT NULL);
CREATE UNIQUE INDEX block_key ON block(key);
CREATE INDEX block_parent ON block(parent);
CREATE INDEX block_place ON block(segment, offset, bytes);
CREATE INDEX block_leaf ON block(last_use) WHERE children = 0 AND parent <> 0;
CREATE TABLE root(id INTEGER PRIMARY KEY, identity TEXT NOT NULL);
CREATE TABLE tail(
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,
  parent INTEGER NOT NULL,
  rest BLOB NOT NULL,
  bytes INTEGER NOT NULL,
  last_use INTEGER NOT NULL);
CREATE INDEX tail_parent ON tail(parent);
CREATE INDEX tail_use ON tail(last_use);
CREATE TABLE segment(id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
CREATE TABLE dead(
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, bytes INTEGER NOT NULL,
  returned INTEGER NOT NULL,
  PRIMARY KEY(segment, offset)) WITHOUT ROWID;
CREATE INDEX dead_new ON dead(segment) WHERE returned = 0;
CREATE TABLE name(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE, identity TEXT NOT NULL, chain BLOB NOT NULL,
  position INTEGER NOT NULL, tokens INTEGER NOT NULL, updated INTEGER NOT NULL);
CREATE TABLE name_tokens(id INTEGER PRIMARY KEY, tokens BLOB NOT NULL);
)";

#define DSV_BLOCK_COLUMNS "id, key, parent, depth, segment, offset, bytes, parts"
#define DSV_TAIL_COLUMNS "id, key, parent, bytes, rest"

BlockRow ToBlock(const Row& row) {
  return {row.Int(0), row.Key(1), row.Int(2), row.Int(3),
          row.Int(4), row.Int(5), row.Int(6), DecodeParts(row.Blob(7))};
}

TailRow ToTail(const Row& row) {
  TailRow tail{row.Int(0), row.Key(1), row.Int(2), row.Int(3), {}};
  const auto rest = row.Blob(4);
  tail.rest.resize(rest.size() / sizeof(int32_t));
  if (!tail.rest.empty()) {
    std::memcpy(tail.rest.data(), rest.data(), tail.rest.size() * sizeof(int32_t));
  }
  return tail;
}

int64_t FileSize(const fs::path& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(size);
}

fs::path LogPath(const fs::path& index) { return fs::path(index.string() + "-wal"); }

// Where not even the lock table of the log can be made, an index whose log is empty can still be
// read as it is.
Result<Database> OpenToRead(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return Fail("{}: expected a prefix store, found none", path.string());
  Status status;
  {
    DSV_ASSIGN(Database database, Database::Open(path, Database::Mode::kRead));
    const auto version = database.Number("PRAGMA user_version");
    if (version) return database;
    status = tl::unexpected(version.error());
  }
  if (FileSize(LogPath(path)) > 0) {
    return Fail("{} (open the store once where it can be written: its log is not applied yet)",
                status.error().message);
  }
  return Database::Open(path, Database::Mode::kReadImmutable);
}

}  // namespace

fs::path IndexPath(const fs::path& directory) { return directory / "index.sqlite"; }

Result<std::unique_ptr<StoreIndex>> StoreIndex::Open(const fs::path& path, bool read_only) {
  DSV_ASSIGN(Database database,
             read_only ? OpenToRead(path) : Database::Open(path, Database::Mode::kWrite));
  std::unique_ptr<StoreIndex> index(new StoreIndex(std::move(database), path.string()));
  DSV_TRY(index->CreateOrCheck(read_only));
  DSV_TRY(index->Load());
  return index;
}

Status StoreIndex::CreateOrCheck(bool read_only) {
  DSV_TRY(database_.Script("PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;"));
  DSV_ASSIGN(const int64_t tables, database_.Number("SELECT count(*) FROM sqlite_master"));
  if (read_only || tables > 0) DSV_TRY(CheckVersion());
  if (!read_only) {
    DSV_TRY(database_.Script(
        fmt::format("PRAGMA page_size={}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                    "PRAGMA wal_autocheckpoint={}; PRAGMA temp_store=MEMORY;",
                    kPageBytes, kLogPages)));
  }
  if (!read_only && tables == 0) {
    DSV_TRY(database_.Script(
        kSchema + fmt::format("PRAGMA application_id={}; PRAGMA user_version={}; COMMIT;",
                              kApplicationId, kStoreFormatVersion)));
  }
  DSV_ASSIGN(page_bytes_, database_.Number("PRAGMA page_size"));
  return {};
}

Status StoreIndex::CheckVersion() {
  DSV_ASSIGN(const int64_t application, database_.Number("PRAGMA application_id"));
  if (application != kApplicationId) return Fail("{}: no index of a prefix store", source_);
  DSV_ASSIGN(const int64_t version, database_.Number("PRAGMA user_version"));
  if (version != kStoreFormatVersion) {
    return Fail("{}: format version {}, expected {}", source_, version, kStoreFormatVersion);
  }
  return {};
}

Status StoreIndex::RefuseNewer(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  Result<Database> database = Database::Open(path, Database::Mode::kRead);
  if (!database) return {};
  const auto application = database->Number("PRAGMA application_id");
  const auto version = database->Number("PRAGMA user_version");
  if (application != kApplicationId || !version || *version <= kStoreFormatVersion) return {};
  return Fail("{}: format version {}, expected at most {}", path.string(), *version,
              kStoreFormatVersion);
}

Status StoreIndex::Load() {
  DSV_ASSIGN(live_bytes_, database_.Number("SELECT coalesce((SELECT sum(bytes) FROM block), 0) + "
                                           "coalesce((SELECT sum(bytes) FROM tail), 0)"));
  DSV_ASSIGN(committed_id_, database_.Number("SELECT coalesce(max(id), 0) FROM block"));
  next_id_ = std::max(next_id_, committed_id_ + 1);
  return {};
}

Status StoreIndex::Commit() {
  if (!HasChanges()) return {};
  const Status status = database_.Run("COMMIT");
  if (!status) {
    Rollback();
    return status;
  }
  committed_id_ = next_id_ - 1;
  return {};
}

void StoreIndex::Rollback() {
  if (HasChanges()) (void)database_.Run("ROLLBACK");
  removed_tails_.clear();
  (void)Load();
}

Status StoreIndex::Checkpoint() { return database_.Script("PRAGMA wal_checkpoint(TRUNCATE);"); }

Result<int64_t> StoreIndex::AddRoot(const ChainKey& key, std::string_view identity) {
  DSV_ASSIGN(const std::optional<BlockRow> known, FindBlock(key));
  const int64_t id = known ? known->id : next_id_;
  if (!known) DSV_TRY(AddBlock({.id = 0, .key = key, .parts = {}}, 0));
  if (!identity.empty()) {
    DSV_ASSIGN(const int64_t named, database_.Number("SELECT count(*) FROM root WHERE id = ?", id));
    if (named == 0) DSV_TRY(Change("INSERT INTO root VALUES(?, ?)", id, identity));
  }
  return id;
}

Result<std::optional<BlockRow>> StoreIndex::FindBlock(const ChainKey& key) {
  std::optional<BlockRow> found;
  DSV_TRY(database_.Each(
      "SELECT " DSV_BLOCK_COLUMNS " FROM block WHERE key = ?",
      [&](const Row& row) {
        found = ToBlock(row);
        return false;
      },
      key));
  return found;
}

Result<std::optional<BlockRow>> StoreIndex::BlockById(int64_t id) {
  std::optional<BlockRow> found;
  DSV_TRY(database_.Each(
      "SELECT " DSV_BLOCK_COLUMNS " FROM block WHERE id = ?",
      [&](const Row& row) {
        found = ToBlock(row);
        return false;
      },
      id));
  return found;
}

Status StoreIndex::AddBlock(const BlockRow& row, int64_t last_use) {
  DSV_TRY(Change("INSERT INTO block VALUES(?, ?, ?, ?, 0, ?, ?, ?, ?, ?)", next_id_, row.key,
                 row.parent, row.depth, last_use, row.segment, row.offset, row.bytes,
                 std::as_bytes(std::span(row.parts))));
  DSV_TRY(Change("UPDATE block SET children = children + 1 WHERE id = ?", row.parent));
  ++next_id_;
  live_bytes_ += row.bytes;
  return {};
}

Status StoreIndex::RemoveBlock(int64_t id) {
  DSV_ASSIGN(const std::optional<BlockRow> row, BlockById(id));
  if (!row) return {};
  DSV_ASSIGN(const std::vector<TailRow> tails, TailsOf(id));
  for (const TailRow& tail : tails) DSV_TRY(RemoveTail(tail));
  DSV_TRY(Change("DELETE FROM block WHERE id = ?", id));
  DSV_TRY(Change("UPDATE block SET children = children - 1 WHERE id = ?", row->parent));
  live_bytes_ -= row->bytes;
  return AddDead({row->segment, row->offset, row->bytes, false});
}

Result<int64_t> StoreIndex::RemoveSubtree(int64_t id) {
  std::vector<int64_t> ids;
  DSV_TRY(database_.Each(
      "WITH RECURSIVE below(id) AS (SELECT ?1 UNION ALL "
      "SELECT block.id FROM block JOIN below ON block.parent = below.id) SELECT id FROM below",
      [&](const Row& row) {
        ids.push_back(row.Int(0));
        return true;
      },
      id));
  for (auto next = ids.rbegin(); next != ids.rend(); ++next) DSV_TRY(RemoveBlock(*next));
  return std::ssize(ids);
}

Status StoreIndex::SetBlockUse(int64_t id, int64_t last_use) {
  return Change("UPDATE block SET last_use = max(last_use, ?2) WHERE id = ?1", id, last_use);
}

Result<std::vector<TailRow>> StoreIndex::TailsOf(int64_t parent) {
  std::vector<TailRow> tails;
  DSV_TRY(database_.Each(
      "SELECT " DSV_TAIL_COLUMNS " FROM tail WHERE parent = ? ORDER BY length(rest) DESC",
      [&](const Row& row) {
        tails.push_back(ToTail(row));
        return true;
      },
      parent));
  return tails;
}

Result<std::optional<TailRow>> StoreIndex::FindTail(const ChainKey& key) {
  std::optional<TailRow> found;
  DSV_TRY(database_.Each(
      "SELECT " DSV_TAIL_COLUMNS " FROM tail WHERE key = ?",
      [&](const Row& row) {
        found = ToTail(row);
        return false;
      },
      key));
  return found;
}

Result<std::vector<TailRow>> StoreIndex::AllTails() {
  std::vector<TailRow> tails;
  DSV_TRY(database_.Each("SELECT " DSV_TAIL_COLUMNS " FROM tail", [&](const Row& row) {
    tails.push_back(ToTail(row));
    return true;
  }));
  return tails;
}

Status StoreIndex::AddTail(const TailRow& row, int64_t last_use) {
  DSV_TRY(Change("INSERT INTO tail(key, parent, rest, bytes, last_use) VALUES(?, ?, ?, ?, ?)",
                 row.key, row.parent, std::as_bytes(std::span(row.rest)), row.bytes, last_use));
  DSV_TRY(Change("UPDATE block SET children = children + 1 WHERE id = ?", row.parent));
  live_bytes_ += row.bytes;
  std::erase(removed_tails_, row.key);
  return {};
}

Status StoreIndex::RemoveTail(const TailRow& row) {
  DSV_TRY(Change("DELETE FROM tail WHERE id = ?", row.id));
  DSV_TRY(Change("UPDATE block SET children = children - 1 WHERE id = ?", row.parent));
  live_bytes_ -= row.bytes;
  removed_tails_.push_back(row.key);
  return {};
}

Status StoreIndex::SetTailUse(int64_t id, int64_t last_use) {
  return Change("UPDATE tail SET last_use = max(last_use, ?2) WHERE id = ?1", id, last_use);
}

Result<std::optional<Victim>> StoreIndex::FindVictim(
    const std::function<bool(const Victim&)>& may_go) {
  std::optional<Victim> found;
  int64_t found_use = 0;
  DSV_TRY(database_.Each(
      "SELECT id, segment, offset, last_use FROM block WHERE children = 0 AND parent <> 0 "
      "ORDER BY last_use",
      [&](const Row& row) {
        const Victim victim{false, row.Int(0), row.Int(1), row.Int(2)};
        if (!may_go(victim)) return true;
        found = victim;
        found_use = row.Int(3);
        return false;
      }));
  DSV_TRY(database_.Each("SELECT id, last_use FROM tail ORDER BY last_use LIMIT 1",
                         [&](const Row& row) {
                           if (!found || row.Int(1) <= found_use) found = Victim{true, row.Int(0)};
                           return false;
                         }));
  return found;
}

Status StoreIndex::Evict(const Victim& victim) {
  const char* use = victim.is_tail ? "SELECT last_use FROM tail WHERE id = ?"
                                   : "SELECT last_use FROM block WHERE id = ?";
  const char* parent = victim.is_tail ? "SELECT parent FROM tail WHERE id = ?"
                                      : "SELECT parent FROM block WHERE id = ?";
  DSV_ASSIGN(const int64_t last_use, database_.Number(use, victim.id));
  DSV_ASSIGN(const int64_t parent_id, database_.Number(parent, victim.id));
  if (!victim.is_tail) {
    DSV_TRY(RemoveBlock(victim.id));
  } else {
    std::optional<TailRow> tail;
    DSV_TRY(database_.Each(
        "SELECT " DSV_TAIL_COLUMNS " FROM tail WHERE id = ?",
        [&](const Row& row) {
          tail = ToTail(row);
          return false;
        },
        victim.id));
    if (tail) DSV_TRY(RemoveTail(*tail));
  }
  return SetBlockUse(parent_id, last_use);
}

Result<std::vector<BlockRow>> StoreIndex::BlocksOf(int64_t segment, int64_t from) {
  std::vector<BlockRow> blocks;
  DSV_TRY(database_.Each(
      "SELECT " DSV_BLOCK_COLUMNS
      " FROM block WHERE segment = ? AND offset + bytes > ? ORDER BY offset",
      [&](const Row& row) {
        blocks.push_back(ToBlock(row));
        return true;
      },
      segment, from));
  return blocks;
}

Status StoreIndex::CheckIntegrity() {
  std::string problem;
  DSV_TRY(database_.Each("PRAGMA integrity_check(1)", [&](const Row& row) {
    if (row.Text(0) != "ok") problem = row.Text(0);
    return false;
  }));
  if (problem.empty()) return {};
  return Fail("{}: damaged ({}); `dsv4 store gc --rebuild` makes a new one from the data", source_,
              problem);
}

}  // namespace dsv
