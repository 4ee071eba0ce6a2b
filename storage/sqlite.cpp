#include "storage/sqlite.hpp"

#include <sqlite3.h>

#include <cstring>
#include <limits>
#include <utility>

#include "base/failpoint.hpp"

namespace forerun::sqlite {

namespace {

/// How long a call waits for another process's lock, such as a reader that opens or closes the
/// file.
constexpr int busy_timeout_ms = 5000;

Errc errc_of(int code) {
  switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:  // Of a statement that does not fit the tables that are there.
      return Errc::invalid;
    case SQLITE_CONSTRAINT:
    case SQLITE_READONLY:
      return Errc::refused;
    case SQLITE_TOOBIG:
      return Errc::too_large;
    default:
      return Errc::io;
  }
}

}  // namespace

std::string Row::text(int column) const {
  const auto* bytes = sqlite3_column_text(statement_, column);
  if (bytes == nullptr) {
    return {};
  }
  return {reinterpret_cast<const char*>(bytes),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::uint64_t Row::number(int column) const {
  const sqlite3_int64 value = sqlite3_column_int64(statement_, column);
  if (value < 0 || sqlite3_column_type(statement_, column) != SQLITE_INTEGER) {
    malformed();
    return 0;
  }
  return static_cast<std::uint64_t>(value);
}

std::uint32_t Row::number32(int column) const {
  const std::uint64_t value = number(column);
  if (value > std::numeric_limits<std::uint32_t>::max()) {
    malformed();
  }
  return static_cast<std::uint32_t>(value);
}

bool Row::flag(int column) const {
  const std::uint64_t value = number(column);
  if (value > 1) {
    malformed();
  }
  return value != 0;
}

bool Row::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

void Row::copy(int column, std::span<std::uint8_t> out) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  if (bytes == nullptr || size != out.size()) {
    malformed();
    return;
  }
  std::memcpy(out.data(), bytes, size);
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Result<void> Statement::check(int code) const {
  if (code == SQLITE_OK) {
    return {};
  }
  return fail(errc_of(code), place_ + ": " + sqlite3_errmsg(sqlite3_db_handle(statement_.get())));
}

Result<void> Statement::bind(int index, std::string_view text) {
  // A null address would bind NULL.
  const char* bytes = text.data() == nullptr ? "" : text.data();
  return check(
      sqlite3_bind_text64(statement_.get(), index, bytes, text.size(), SQLITE_STATIC, SQLITE_UTF8));
}

Result<void> Statement::bind(int index, std::span<const std::uint8_t> bytes) {
  return check(
      sqlite3_bind_blob64(statement_.get(), index, bytes.data(), bytes.size(), SQLITE_STATIC));
}

Result<void> Statement::bind(int index, std::uint64_t number) {
  if (number > static_cast<std::uint64_t>(std::numeric_limits<sqlite3_int64>::max())) {
    return fail(Errc::invalid,
                place_ + ": number: found " + std::to_string(number) + ", expected less than 2^63");
  }
  return check(sqlite3_bind_int64(statement_.get(), index, static_cast<sqlite3_int64>(number)));
}

Result<void> Statement::bind(int index, std::nullopt_t) {
  return check(sqlite3_bind_null(statement_.get(), index));
}

Result<void> Statement::execute(const std::function<bool(const Row&)>& visit) {
  int code = SQLITE_ROW;
  const Row row(statement_.get());
  while ((code = sqlite3_step(statement_.get())) == SQLITE_ROW) {
    const bool goes_on = visit(row);
    if (row.is_malformed_) {
      return abandon(
          {Errc::invalid, place_ + ": malformed row in: " + sqlite3_sql(statement_.get())});
    }
    if (!goes_on) {
      code = SQLITE_DONE;
      break;
    }
  }
  Result<void> result = check(code == SQLITE_DONE ? SQLITE_OK : code);
  sqlite3_reset(statement_.get());
  return result;
}

Result<void> Statement::abandon(Error error) {
  sqlite3_reset(statement_.get());
  return tl::unexpected<Error>(std::move(error));
}

Connection::Connection() = default;
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

void Connection::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

Result<void> Connection::check(int code) const {
  if (code == SQLITE_OK) {
    return {};
  }
  return fail(errc_of(code), place_ + ": " + sqlite3_errmsg(database_.get()));
}

Result<Connection> Connection::open(const std::filesystem::path& path, Access access,
                                    const std::string& file_layer) {
  Connection connection;
  connection.place_ = path.filename().string();
  const int mode = access == Access::read_write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
  sqlite3* database = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &database, mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                      file_layer.c_str());
  connection.database_.reset(database);
  if (auto opened = connection.check(code); !opened) {
    return tl::unexpected(opened.error());
  }
  connection.wal_pages_ = std::make_unique<int>(0);
  sqlite3_busy_timeout(database, busy_timeout_ms);
  sqlite3_wal_autocheckpoint(database, 0);
  const auto note_pages = [](void* pages, sqlite3*, const char*, int count) {
    *static_cast<int*>(pages) = count;
    return SQLITE_OK;
  };
  sqlite3_wal_hook(database, note_pages, connection.wal_pages_.get());
  return connection;
}

Result<void> Connection::execute(const char* sql) {
  return check(sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr));
}

Result<Statement> Connection::prepare(const char* sql) {
  sqlite3_stmt* prepared = nullptr;
  const int code =
      sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
  if (auto checked = check(code); !checked) {
    return tl::unexpected(checked.error());
  }
  Statement statement;
  statement.statement_.reset(prepared);
  statement.place_ = place_;
  return statement;
}

Result<std::uint64_t> Connection::number(const char* sql) {
  auto statement = prepare(sql);
  if (!statement) {
    return tl::unexpected(statement.error());
  }
  std::uint64_t value = 0;
  auto read = statement->each([&value](const Row& row) { value = row.number(0); });
  if (!read) {
    return tl::unexpected(read.error());
  }
  return value;
}

int Connection::wal_pages() const {
  return *wal_pages_;
}

Result<void> Connection::checkpoint() {
  if (fails_at(Failpoint::disk_checkpoint)) {
    return fail(Errc::io, place_ + ": the copying of its log failed at a failpoint");
  }
  const int code = sqlite3_wal_checkpoint_v2(database_.get(), "main", SQLITE_CHECKPOINT_PASSIVE,
                                             nullptr, nullptr);
  reach(Failpoint::disk_checkpointed);
  return (code & 0xff) == SQLITE_BUSY ? Result<void>() : check(code);
}

Transaction::Transaction(Connection& connection)
    : connection_(connection), result_(connection.execute("BEGIN IMMEDIATE")) {
  is_open_ = result_.has_value();
}

Transaction::~Transaction() {
  roll_back();
}

void Transaction::roll_back() {
  if (std::exchange(is_open_, false)) {
    // Fails only where SQLite has rolled back by itself.
    static_cast<void>(connection_.execute("ROLLBACK"));
  }
}

Result<void> Transaction::commit() {
  if (result_) {
    result_ = connection_.execute("COMMIT");
    is_open_ = !result_;
  }
  roll_back();
  return result_;
}

}  // namespace forerun::sqlite
