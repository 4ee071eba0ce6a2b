#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

/// The little of SQLite that the stores need, with Result and without its header.
namespace forerun::sqlite {

/// The current row of a query. A column that does not hold what is asked for makes the query fail
/// as malformed.
class Row {
public:
  std::string text(int column) const;
  /// Not negative.
  std::uint64_t number(int column) const;
  std::uint32_t number32(int column) const;
  bool flag(int column) const;
  bool is_null(int column) const;
  template <std::size_t size>
  std::array<std::uint8_t, size> bytes(int column) const {
    std::array<std::uint8_t, size> out{};
    copy(column, out);
    return out;
  }
  /// For what SQLite cannot know to be wrong, such as an enumeration's value.
  void malformed() const { is_malformed_ = true; }

private:
  friend class Statement;
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  void copy(int column, std::span<std::uint8_t> out) const;
  sqlite3_stmt* statement_;
  mutable bool is_malformed_ = false;
};

/// A prepared statement, kept for the connection's life. Parameters are bound in order: text,
/// bytes, numbers, bools, nullopt. Texts and bytes are borrowed until the call returns.
class Statement {
public:
  Statement() = default;

  /// Runs to the end, ignoring rows.
  template <class... Args>
  Result<void> run(const Args&... args) {
    return each([](const Row&) {}, args...);
  }
  /// Gives every row to `visit`, in order.
  template <class Visit, class... Args>
  Result<void> each(const Visit& visit, const Args&... args) {
    int index = 0;
    Result<void> bound;
    ((bound = bound ? bind(++index, args) : bound), ...);
    return bound ? execute([&visit](const Row& row) {
      visit(row);
      return true;
    })
                 : abandon(bound.error());
  }
  /// The same until `visit` returns false.
  template <class Visit, class... Args>
  Result<void> each_while(const Visit& visit, const Args&... args) {
    int index = 0;
    Result<void> bound;
    ((bound = bound ? bind(++index, args) : bound), ...);
    return bound ? execute(visit) : abandon(bound.error());
  }

private:
  friend class Connection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Result<void> bind(int index, std::string_view text);
  Result<void> bind(int index, std::span<const std::uint8_t> bytes);
  Result<void> bind(int index, std::uint64_t number);
  Result<void> bind(int index, std::nullopt_t);
  Result<void> bind(int index, const std::string& text) {
    return bind(index, std::string_view(text));
  }
  Result<void> bind(int index, const char* text) { return bind(index, std::string_view(text)); }
  Result<void> bind(int index, std::uint32_t number) { return bind(index, std::uint64_t{number}); }
  Result<void> bind(int index, bool flag) { return bind(index, std::uint64_t{flag}); }
  template <std::size_t size>
  Result<void> bind(int index, const std::array<std::uint8_t, size>& bytes) {
    return bind(index, std::span<const std::uint8_t>(bytes));
  }
  template <class T>
  Result<void> bind(int index, const std::optional<T>& value) {
    return value ? bind(index, *value) : bind(index, std::nullopt);
  }
  Result<void> execute(const std::function<bool(const Row&)>& visit);
  Result<void> abandon(Error error);
  Result<void> check(int code) const;

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string place_;
};

enum class Access { read_write, read_only };

/// One connection to one file. One thread at a time. Errors of all calls: io; invalid for a file
/// that is not a database or is damaged; refused for a broken constraint; too_large.
class Connection {
public:
  Connection();
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  /// @pre a file opened read_write exists. `file_layer`: a Disk's name. Its WAL is checkpointed by
  /// nobody but who calls checkpoint(), and by the last connection to close.
  static Result<Connection> open(const std::filesystem::path& path, Access access,
                                 const std::string& file_layer);

  Result<void> execute(const char* sql);
  Result<Statement> prepare(const char* sql);
  /// The single number that `sql` yields.
  Result<std::uint64_t> number(const char* sql);
  /// Pages in the write-ahead log after the last commit of this connection.
  int wal_pages() const;
  /// Copies what is in the log into the file, as far as no reader needs the old pages; never waits
  /// for others.
  Result<void> checkpoint();
  const std::string& place() const { return place_; }

private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  Result<void> check(int code) const;
  std::unique_ptr<int> wal_pages_;  // Its address is SQLite's while the connection lives.
  std::unique_ptr<sqlite3, Close> database_;
  std::string place_;
};

/// A write transaction that keeps the first error: after it nothing more is run, and commit() rolls
/// back and returns it. Ends, rolled back, on destruction.
class Transaction {
public:
  explicit Transaction(Connection& connection);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  template <class... Args>
  void run(Statement& statement, const Args&... args) {
    if (result_) {
      result_ = statement.run(args...);
    }
  }
  template <class Visit, class... Args>
  void each(Statement& statement, const Visit& visit, const Args&... args) {
    if (result_) {
      result_ = statement.each(visit, args...);
    }
  }
  /// Keeps a failure found outside of SQLite.
  void require(Result<void> fact) {
    if (result_) {
      result_ = std::move(fact);
    }
  }
  bool is_good() const { return result_.has_value(); }
  Result<void> commit();

private:
  void roll_back();
  Connection& connection_;
  bool is_open_ = false;
  Result<void> result_;
};

}  // namespace forerun::sqlite
