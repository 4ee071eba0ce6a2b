#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"

/// Small files that hold secrets, or say who may do what.
namespace forerun {

inline constexpr std::size_t private_file_bytes_max = 1U << 20U;

/// Reads such a file whole. `forbidden` are the mode bits that must not be set. Nothing when there
/// is no file. Errors: io; refused (the mode); invalid (a link or no file at all); too_large; all
/// name the file.
Result<std::optional<std::string>> read_private_file(const std::filesystem::path& path,
                                                     mode_t forbidden);

/// Whether nobody but its owner may use a file that holds a secret. What is no file, as a pipe, has
/// no mode that counts. Errors: refused, naming the file and what to do; not_found; io.
Result<void> check_private(const std::filesystem::path& path);

/// Before a secret goes to this descriptor: a file behind it, as of a shell's `>`, becomes its
/// owner's alone. Anything else is left as it is.
void make_private(int descriptor);

/// Keeps a text in a file of mode 0600, synced. The file is replaced whole: a crash leaves the old
/// one or the new one. One writer at a time. Errors: io, naming the file.
Result<void> write_private_file(const std::filesystem::path& path, std::string_view text);

/// Holds off other processes that change files of a folder, until it is destroyed.
class FolderLock {
public:
  /// Waits for whoever holds it. Errors: io, naming the folder.
  static Result<FolderLock> take(const std::filesystem::path& folder);
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

/// Tells one state of a file from the next: it changes when the file is written, replaced or gone.
std::string file_stamp(const std::filesystem::path& path);

}  // namespace forerun
