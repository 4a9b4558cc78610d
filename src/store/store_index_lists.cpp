// Named sessions, and what the store tells about itself.
#include <algorithm>
#include <cstring>
#include <utility>

#include "store/store_index.h"

namespace dsv {
namespace {

// Tokens of a name stand in rows of this many, so that a session that grows rewrites only the last.
// A row fills one page.
constexpr size_t kChunkTokens = 240;
// The id of a chunk: that of its name, and its number below.
constexpr int64_t kChunksPerName = int64_t{1} << 32;

}  // namespace

Status StoreIndex::PutName(const NamedSession& session, int64_t now) {
  DSV_TRY(Change(
      "INSERT INTO name(name, identity, chain, position, tokens, updated) VALUES(?, ?, ?, ?, ?, ?) "
      "ON CONFLICT(name) DO UPDATE SET identity = excluded.identity, chain = excluded.chain, "
      "position = excluded.position, tokens = excluded.tokens, updated = excluded.updated",
      std::string_view(session.name), std::string_view(session.identity), session.chain,
      session.position, std::ssize(session.tokens), now));
  DSV_ASSIGN(const int64_t id, database_.Number("SELECT id FROM name WHERE name = ?",
                                                std::string_view(session.name)));
  int64_t chunk = id * kChunksPerName;
  for (size_t at = 0; at < session.tokens.size(); at += kChunkTokens, ++chunk) {
    const auto tokens = std::span(session.tokens).subspan(at);
    DSV_TRY(
        Change("INSERT INTO name_tokens VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET "
               "tokens = excluded.tokens WHERE tokens <> excluded.tokens",
               chunk, std::as_bytes(tokens.first(std::min(tokens.size(), kChunkTokens)))));
  }
  return Change("DELETE FROM name_tokens WHERE id >= ? AND id < ?", chunk,
                (id + 1) * kChunksPerName);
}

Result<std::optional<NamedSession>> StoreIndex::GetName(std::string_view name) {
  std::optional<NamedSession> session;
  int64_t id = 0;
  int64_t count = 0;
  DSV_TRY(database_.Each(
      "SELECT id, identity, chain, position, tokens FROM name WHERE name = ?",
      [&](const Row& row) {
        id = row.Int(0);
        session =
            NamedSession{std::string(name), std::string(row.Text(1)), row.Key(2), row.Int(3), {}};
        count = row.Int(4);
        return false;
      },
      name));
  if (!session) return session;
  DSV_TRY(database_.Each(
      "SELECT tokens FROM name_tokens WHERE id >= ? AND id < ? ORDER BY id",
      [&](const Row& row) {
        const auto blob = row.Blob(0);
        const size_t size = session->tokens.size();
        session->tokens.resize(size + blob.size() / sizeof(int32_t));
        std::memcpy(session->tokens.data() + size, blob.data(),
                    blob.size() / sizeof(int32_t) * sizeof(int32_t));
        return true;
      },
      id * kChunksPerName, (id + 1) * kChunksPerName));
  if (std::ssize(session->tokens) != count) {
    return Fail("{}: session {}: {} tokens, expected {}", source_, name,
                std::ssize(session->tokens), count);
  }
  return session;
}

Result<bool> StoreIndex::DropName(std::string_view name) {
  DSV_ASSIGN(const int64_t id, database_.Number("SELECT id FROM name WHERE name = ?", name));
  if (id == 0) return false;
  DSV_TRY(Change("DELETE FROM name WHERE id = ?", id));
  DSV_TRY(Change("DELETE FROM name_tokens WHERE id >= ? AND id < ?", id * kChunksPerName,
                 (id + 1) * kChunksPerName));
  return true;
}

Result<std::vector<NameInfo>> StoreIndex::ListNames() {
  std::vector<NameInfo> names;
  DSV_TRY(database_.Each(
      "SELECT name, identity, tokens, updated FROM name ORDER BY name", [&](const Row& row) {
        names.push_back(
            {std::string(row.Text(0)), std::string(row.Text(1)), row.Int(2), row.Int(3)});
        return true;
      }));
  return names;
}

Status StoreIndex::CopyNamesFrom(const std::filesystem::path& index) {
  DSV_TRY(database_.Run("ATTACH ? AS old", std::string_view(index.native())));
  Status status = Change("INSERT INTO name SELECT * FROM old.name");
  if (status) status = Change("INSERT INTO name_tokens SELECT * FROM old.name_tokens");
  if (!status) Rollback();
  if (status) status = Commit();
  (void)database_.Run("DETACH old");
  return status;
}

Result<std::vector<ChainInfo>> StoreIndex::ListChains() {
  std::vector<int64_t> leaves;
  std::vector<ChainInfo> chains;
  DSV_TRY(database_.Each(
      "SELECT id, key, depth, last_use FROM block WHERE (parent <> 0 OR children > 0) AND "
      "NOT EXISTS(SELECT 1 FROM block AS next WHERE next.parent = block.id) "
      "ORDER BY last_use DESC, id DESC",
      [&](const Row& row) {
        leaves.push_back(row.Int(0));
        chains.push_back({.key = row.Key(1),
                          .identity = {},
                          .tokens = row.Int(2) * kBlockTokens,
                          .blocks = row.Int(2),
                          .last_use_ms = row.Int(3)});
        return true;
      }));
  for (size_t i = 0; i < leaves.size(); ++i) DSV_TRY(DescribeChain(leaves[i], chains[i]));
  return chains;
}

Status StoreIndex::DescribeChain(int64_t leaf, ChainInfo& chain) {
  int64_t root = 0;
  DSV_TRY(database_.Each(
      "WITH RECURSIVE path(id, parent, bytes) AS ("
      "SELECT id, parent, bytes FROM block WHERE id = ? UNION ALL "
      "SELECT block.id, block.parent, block.bytes FROM block JOIN path ON block.id = path.parent) "
      "SELECT path.id, path.parent, path.bytes + "
      "coalesce((SELECT sum(bytes) FROM tail WHERE tail.parent = path.id), 0) FROM path",
      [&](const Row& row) {
        chain.bytes += row.Int(2);
        if (row.Int(1) == 0) root = row.Int(0);
        return true;
      },
      leaf));
  DSV_TRY(database_.Each(
      "SELECT length(rest) / 4, last_use FROM tail WHERE parent = ? ORDER BY 1",
      [&, whole = chain.tokens](const Row& row) {
        chain.tokens = whole + row.Int(0);
        chain.last_use_ms = std::max(chain.last_use_ms, row.Int(1));
        return true;
      },
      leaf));
  return database_.Each(
      "SELECT identity FROM root WHERE id = ?",
      [&](const Row& row) {
        chain.identity = row.Text(0);
        return false;
      },
      root);
}

Status StoreIndex::AddTo(StoreStat& stat) {
  DSV_ASSIGN(stat.blocks, database_.Number("SELECT count(*) FROM block WHERE parent <> 0"));
  DSV_ASSIGN(stat.block_bytes, database_.Number("SELECT coalesce(sum(bytes), 0) FROM block"));
  DSV_ASSIGN(stat.tails, database_.Number("SELECT count(*) FROM tail"));
  DSV_ASSIGN(stat.tail_bytes, database_.Number("SELECT coalesce(sum(bytes), 0) FROM tail"));
  DSV_ASSIGN(stat.names, database_.Number("SELECT count(*) FROM name"));
  DSV_ASSIGN(stat.segments, database_.Number("SELECT count(*) FROM segment"));
  DSV_ASSIGN(stat.dead_bytes, database_.Number("SELECT coalesce(sum(bytes), 0) FROM dead "
                                               "WHERE returned = 0"));
  DSV_ASSIGN(
      stat.chains,
      database_.Number("SELECT count(*) FROM block WHERE (parent <> 0 OR children > 0) AND "
                       "NOT EXISTS(SELECT 1 FROM block AS next WHERE next.parent = block.id)"));
  stat.written_index_bytes = WrittenBytes();
  return {};
}

}  // namespace dsv
