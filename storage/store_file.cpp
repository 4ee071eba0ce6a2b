#include "storage/store_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/failpoint.hpp"

namespace forerun {

namespace {

Error os_error(const std::filesystem::path& path, const char* what) {
  return {Errc::io, path.string() + ": " + what + ": " + std::strerror(errno)};
}

/// SQLite gives the log beside it the file's own permissions. Only a file that is made here may be
/// opened and closed here: closing any descriptor of a database drops all locks that this process
/// holds on it.
Result<void> create_if_missing(const std::filesystem::path& path) {
  reach(Failpoint::store_create);
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return errno == EEXIST ? Result<void>()
                           : tl::unexpected<Error>(os_error(path, "cannot be made"));
  }
  const bool synced = ::fsync(descriptor) == 0;
  ::close(descriptor);
  return synced ? sync_directory(path.parent_path())
                : tl::unexpected<Error>(os_error(path, "cannot be synced"));
}

/// Returns the version that was found.
Result<std::uint64_t> check_kind(sqlite::Connection& connection, const StoreFile& kind) {
  const std::string expected = std::string(", expected ") + kind.subject;
  const auto found = connection.number("PRAGMA application_id");
  if (!found) {
    return fail(found.error().code, found.error().message + expected);
  }
  if (*found != kind.application_id) {
    return fail(Errc::invalid, connection.place() + ": found another program's file" + expected);
  }
  const auto version = connection.number("PRAGMA user_version");
  if (!version) {
    return tl::unexpected(version.error());
  }
  if (*version > kind.version) {
    return fail(Errc::refused, connection.place() + ": written by a newer Forerun: found format " +
                                   std::to_string(*version) + ", expected at most " +
                                   std::to_string(kind.version));
  }
  if (*version < kind.version - kind.upgrades.size()) {
    return fail(Errc::refused, connection.place() + ": found format " + std::to_string(*version) +
                                   ", which this version cannot read any more");
  }
  return static_cast<std::uint64_t>(*version);
}

/// One transaction a version, so that a crash leaves a file of one version or the next.
Result<void> upgrade(sqlite::Connection& connection, const StoreFile& kind, std::uint64_t version) {
  for (; version < kind.version; ++version) {
    const std::string mark = "PRAGMA user_version = " + std::to_string(version + 1);
    sqlite::Transaction transaction(connection);
    if (transaction.is_good()) {
      transaction.require(connection.execute(kind.upgrades[version - 1]));
    }
    if (transaction.is_good()) {
      transaction.require(connection.execute(mark.c_str()));
    }
    if (auto done = transaction.commit(); !done) {
      return done;
    }
  }
  return {};
}

/// Nothing in it: new, or its maker died before the tables were durable.
Result<bool> is_blank(sqlite::Connection& connection) {
  const auto marks = connection.number(
      "SELECT (SELECT count(*) FROM sqlite_schema) + (SELECT application_id <> 0 FROM "
      "pragma_application_id)");
  if (!marks) {
    return tl::unexpected(marks.error());
  }
  return *marks == 0;
}

Result<void> make_tables(sqlite::Connection& connection, const StoreFile& kind) {
  const std::string marks = "PRAGMA application_id = " + std::to_string(kind.application_id) +
                            "; PRAGMA user_version = " + std::to_string(kind.version) + ";";
  sqlite::Transaction transaction(connection);
  if (transaction.is_good()) {
    transaction.require(connection.execute(marks.c_str()));
  }
  if (transaction.is_good()) {
    transaction.require(connection.execute(kind.schema));
  }
  return transaction.commit();
}

Result<void> prepare_for_owner(sqlite::Connection& connection, const StoreFile& kind) {
  if (auto sized = connection.execute(kind.page_size); !sized) {
    return sized;
  }
  const auto blank = is_blank(connection);
  if (!blank) {
    return fail(blank.error().code, blank.error().message + ", expected " + kind.subject);
  }
  const auto version = *blank ? Result<std::uint64_t>(kind.version) : check_kind(connection, kind);
  if (!version) {
    return tl::unexpected(version.error());
  }
  if (auto logged = connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                       "PRAGMA temp_store = MEMORY;");
      !logged) {
    return logged;
  }
  if (auto cached = connection.execute(kind.cache_size); !cached) {
    return cached;
  }
  if (*blank) {
    auto made = make_tables(connection, kind);
    reach(Failpoint::store_created);
    return made;
  }
  return upgrade(connection, kind, *version);
}

}  // namespace

Result<void> sync_directory(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory.empty() ? "." : directory;
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    return tl::unexpected<Error>(os_error(path, "cannot be opened"));
  }
  const bool synced = ::fsync(descriptor) == 0;
  ::close(descriptor);
  return synced ? Result<void>() : tl::unexpected<Error>(os_error(path, "cannot be synced"));
}

Result<sqlite::Connection> open_store_file(const std::filesystem::path& path, const StoreFile& kind,
                                           const std::string& file_layer) {
  if (auto created = create_if_missing(path); !created) {
    return tl::unexpected(created.error());
  }
  auto connection = sqlite::Connection::open(path, sqlite::Access::read_write, file_layer);
  if (!connection) {
    return connection;
  }
  if (auto prepared = prepare_for_owner(*connection, kind); !prepared) {
    return tl::unexpected(prepared.error());
  }
  return connection;
}

Result<sqlite::Connection> open_store_file_readonly(const std::filesystem::path& path,
                                                    const StoreFile& kind,
                                                    const std::string& file_layer) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return fail(Errc::not_found, path.string() + ": found nothing, expected " + kind.subject);
  }
  auto connection = sqlite::Connection::open(path, sqlite::Access::read_only, file_layer);
  if (!connection) {
    return connection;
  }
  const auto version = check_kind(*connection, kind);
  if (!version) {
    return tl::unexpected(version.error());
  }
  if (*version < kind.version) {
    return fail(Errc::refused, connection->place() + ": found format " + std::to_string(*version) +
                                   ", expected " + std::to_string(kind.version) +
                                   ": start its coordinator or node once, which upgrades it");
  }
  return connection;
}

bool EntryReader::add(StoredEntry entry) {
  const std::size_t size = entry.leaf.size() + entry.call.size() + entry.output.size() +
                           entry.writes.size() + entry.effects.size() + entry.story.size();
  has_gap_ = has_gap_ || entry.seq.value != next_;
  if (has_gap_ || (!entries_.empty() && bytes_ + size > read_bytes_max)) {
    return false;
  }
  ++next_;
  bytes_ += size;
  entries_.push_back(std::move(entry));
  return entries_.size() < count_;
}

Result<std::vector<StoredEntry>> EntryReader::take() {
  if (has_gap_) {
    return fail(Errc::verification,
                "entry " + std::to_string(next_) + ": found nothing, expected an entry");
  }
  return std::move(entries_);
}

}  // namespace forerun
