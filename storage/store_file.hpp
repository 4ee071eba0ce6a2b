#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/result.hpp"
#include "speculation/durable.hpp"
#include "storage/sqlite.hpp"

namespace forerun {

/// What a kind of file is called, holds, and which version of it this program writes.
struct StoreFile {
  const char* subject;           ///< For messages: "a ledger".
  std::uint32_t application_id;  ///< In the file's header.
  std::uint32_t version;
  const char* page_size;   ///< A PRAGMA; holds for new files.
  const char* cache_size;  ///< A PRAGMA: pages that the owner keeps in memory.
  const char* schema;
  /// The n-th brings a file of version n + 1 to the next one.
  std::span<const char* const> upgrades{};
};

/// What to do about a ledger that is not what was written.
inline constexpr const char* damage_advice =
    ": the file was damaged or changed, so nothing of it is signed; put back a copy of the whole "
    "folder (nodes that are ahead of it then start with --resync), or give --data a new one";

/// Opens a file for its owner, making it when it is missing (0600, synced with its directory), in
/// WAL mode. Errors: refused (of a newer version), invalid (foreign or damaged), io.
Result<sqlite::Connection> open_store_file(const std::filesystem::path& path, const StoreFile& kind,
                                           const std::string& file_layer);
/// Opens it beside an owner, or without one. Errors: not_found; refused (of another version); and
/// as above.
Result<sqlite::Connection> open_store_file_readonly(const std::filesystem::path& path,
                                                    const StoreFile& kind,
                                                    const std::string& file_layer);
/// Makes what was created in or renamed into a directory last.
Result<void> sync_directory(const std::filesystem::path& directory);

/// Reads are cut here, whatever was asked for; an entry more than this long comes alone.
inline constexpr std::size_t read_entries_max = 10'000;
inline constexpr std::size_t read_bytes_max = 64 << 20;
inline constexpr std::size_t past_bytes_max = 4 << 20;  ///< Of what is read for learning.

/// Says when a page of what learning reads is full.
class PageLimit {
public:
  explicit PageLimit(std::size_t steps) : steps_(steps) {}
  /// False once the page, with this row, is full.
  bool has_room_after(std::size_t steps, std::size_t bytes) {
    steps_ -= std::min(steps_, steps);
    bytes_ -= std::min(bytes_, bytes);
    return steps_ > 0 && bytes_ > 0;
  }

private:
  std::size_t steps_;
  std::size_t bytes_ = past_bytes_max;
};

/// Collects rows up to the limits above, checking that no number is missing.
class EntryReader {
public:
  EntryReader(Seq from, std::size_t count)
      : next_(from.value), count_(std::min(count, read_entries_max)) {}
  std::size_t count() const { return count_; }
  /// False once full.
  bool add(StoredEntry entry);
  /// Errors: verification when an entry is missing.
  Result<std::vector<StoredEntry>> take();

private:
  std::uint64_t next_;
  std::size_t count_;
  std::size_t bytes_ = 0;
  bool has_gap_ = false;
  std::vector<StoredEntry> entries_;
};

}  // namespace forerun
