#include "store/database.h"

#include <sqlite3.h>

#include <cerrno>
#include <system_error>

#include "base/check.h"

namespace dsv {
namespace {

// Characters that mean something in a URI filename.
std::string UriPath(const std::string& path) {
  std::string uri;
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri;
}

}  // namespace

int64_t Row::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string_view Row::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return {};
  return {text, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

std::span<const std::byte> Row::Blob(int column) const {
  const auto* blob = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  if (blob == nullptr) return {};
  return {blob, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

ChainKey Row::Key(int column) const {
  ChainKey key;
  const auto blob = Blob(column);
  if (blob.size() == key.bytes.size()) std::memcpy(key.bytes.data(), blob.data(), blob.size());
  return key;
}

void Database::Close::operator()(sqlite3* database) const { sqlite3_close(database); }

void Database::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Result<Database> Database::Open(const std::filesystem::path& path, Mode mode) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  flags |= mode == Mode::kWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  std::string name = path.string();
  if (mode == Mode::kReadImmutable) {
    flags |= SQLITE_OPEN_URI;
    name = fmt::format("file:{}?immutable=1", UriPath(name));
  }
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(name.c_str(), &handle, flags, nullptr);
  Database database(path.string(), handle);
  if (code != SQLITE_OK) return database.FailSqlite();
  sqlite3_busy_timeout(handle, 10'000);
  return database;
}

tl::unexpected<Error> Database::FailSqlite() const {
  if (!handle_) return Fail("{}: cannot open: out of memory", path_);
  const int code = sqlite3_errcode(handle_.get()) & 0xFF;
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
    return Fail("{}: damaged ({}); `dsv4 store gc --rebuild` makes a new one from the data", path_,
                sqlite3_errmsg(handle_.get()));
  }
  const int system = sqlite3_system_errno(handle_.get());
  if ((code == SQLITE_IOERR || code == SQLITE_CANTOPEN) && system != 0) {
    return Fail("{}: {}: {}", path_, sqlite3_errmsg(handle_.get()),
                std::generic_category().message(system));
  }
  return Fail("{}: {}", path_, sqlite3_errmsg(handle_.get()));
}

Result<sqlite3_stmt*> Database::Prepare(const char* sql) {
  auto& kept = statements_[sql];
  if (!kept) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v3(handle_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement,
                           nullptr) != SQLITE_OK) {
      return FailSqlite();
    }
    kept.reset(statement);
  }
  return kept.get();
}

Status Database::Step(sqlite3_stmt* statement, const std::function<bool(const Row&)>& visit) {
  Status status;
  while (true) {
    const int code = sqlite3_step(statement);
    if (code == SQLITE_ROW && visit(Row(statement))) continue;
    if (code != SQLITE_ROW && code != SQLITE_DONE) status = FailSqlite();
    break;
  }
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return status;
}

Status Database::Script(const std::string& sql) {
  if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return FailSqlite();
  }
  return {};
}

bool Database::InTransaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }

int64_t Database::PagesWritten() const {
  int pages = 0;
  int unused = 0;
  sqlite3_db_status(handle_.get(), SQLITE_DBSTATUS_CACHE_WRITE, &pages, &unused, 0);
  return pages;
}

// Positions and types are those of the literals above this layer, so a failure is a bug.
void Database::Bind(sqlite3_stmt* statement, int position, int64_t value) {
  DSV_CHECK(sqlite3_bind_int64(statement, position, value) == SQLITE_OK);
}

// Values are not copied: they outlive the call of Each.
void Database::Bind(sqlite3_stmt* statement, int position, std::string_view text) {
  DSV_CHECK(sqlite3_bind_text64(statement, position, text.data() == nullptr ? "" : text.data(),
                                text.size(), SQLITE_STATIC, SQLITE_UTF8) == SQLITE_OK);
}

void Database::Bind(sqlite3_stmt* statement, int position, std::span<const std::byte> blob) {
  const void* data = blob.data() == nullptr ? static_cast<const void*>("") : blob.data();
  DSV_CHECK(sqlite3_bind_blob64(statement, position, data, blob.size(), SQLITE_STATIC) ==
            SQLITE_OK);
}

void Database::Bind(sqlite3_stmt* statement, int position, const ChainKey& key) {
  Bind(statement, position, std::as_bytes(std::span(key.bytes)));
}

}  // namespace dsv
