// SQLite with Results: statements are prepared once per text and bound by position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "store/chain_key.h"

struct sqlite3;
struct sqlite3_stmt;

namespace dsv {

// The current row of a statement; views last until the next row.
class Row {
 public:
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}

  int64_t Int(int column) const;
  std::string_view Text(int column) const;
  std::span<const std::byte> Blob(int column) const;
  // Zero bytes if the column has not the size of a key.
  ChainKey Key(int column) const;

 private:
  sqlite3_stmt* statement_;
};

// One connection; not thread-safe. Errors name the file.
class Database {
 public:
  enum class Mode {
    kWrite,
    kRead,
    kReadImmutable,  // nobody writes: no lock, no log, works on a read-only file system
  };

  static Result<Database> Open(const std::filesystem::path& path, Mode mode);
  Database(Database&&) noexcept = default;
  Database& operator=(Database&&) = delete;

  // `sql` must be a literal (statements are kept by its address).
  template <class... Args>
  Status Run(const char* sql, const Args&... args) {
    return Each(sql, [](const Row&) { return true; }, args...);
  }
  // Calls visit(row) for each row until it says false. It must not use the same statement.
  template <class Visit, class... Args>
  Status Each(const char* sql, const Visit& visit, const Args&... args) {
    DSV_ASSIGN(sqlite3_stmt* const statement, Prepare(sql));
    int position = 0;
    (Bind(statement, ++position, args), ...);
    return Step(statement, visit);
  }
  // The first column of the first row, or 0.
  template <class... Args>
  Result<int64_t> Number(const char* sql, const Args&... args) {
    int64_t number = 0;
    DSV_TRY(Each(
        sql,
        [&](const Row& row) {
          number = row.Int(0);
          return false;
        },
        args...));
    return number;
  }
  // Several statements without results, from any string.
  Status Script(const std::string& sql);

  bool InTransaction() const;
  int64_t PagesWritten() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };

  Database(std::string path, sqlite3* handle) : path_(std::move(path)), handle_(handle) {}

  tl::unexpected<Error> FailSqlite() const;
  Result<sqlite3_stmt*> Prepare(const char* sql);
  Status Step(sqlite3_stmt* statement, const std::function<bool(const Row&)>& visit);
  static void Bind(sqlite3_stmt* statement, int position, int64_t value);
  static void Bind(sqlite3_stmt* statement, int position, std::string_view text);
  static void Bind(sqlite3_stmt* statement, int position, std::span<const std::byte> blob);
  static void Bind(sqlite3_stmt* statement, int position, const ChainKey& key);

  std::string path_;
  std::unique_ptr<sqlite3, Close> handle_;
  std::unordered_map<const char*, std::unique_ptr<sqlite3_stmt, Finalize>> statements_;
};

}  // namespace dsv
