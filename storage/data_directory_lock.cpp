#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "storage/store.hpp"
#include "storage/store_file.hpp"

namespace forerun {

namespace {

Error os_error(const std::filesystem::path& path, const char* what) {
  return {Errc::io, path.string() + ": " + what + ": " + std::strerror(errno)};
}

/// Each directory made is synced into its parent, or a power cut could take a ledger with it.
Result<void> make_directory(const std::filesystem::path& directory) {
  if (::mkdir(directory.c_str(), 0700) == 0) {
    return sync_directory(directory.parent_path());
  }
  if (errno == ENOENT && directory.has_parent_path() && directory.parent_path() != directory) {
    if (auto made = make_directory(directory.parent_path()); !made) {
      return made;
    }
    return make_directory(directory);
  }
  if (errno == EEXIST && std::filesystem::is_directory(directory)) {
    return {};
  }
  return tl::unexpected<Error>(os_error(directory, "cannot be made"));
}

std::string owner_of(int descriptor) {
  std::array<char, 32> text{};
  const ssize_t size = ::pread(descriptor, text.data(), text.size(), 0);
  std::string owner(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  owner.erase(owner.find_last_not_of('\n') + 1);
  return owner;
}

/// For people and messages only; the lock itself is the kernel's.
Result<void> write_owner(int descriptor, const std::filesystem::path& path) {
  const std::string owner = std::to_string(::getpid()) + "\n";
  if (::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, owner.data(), owner.size(), 0) != static_cast<ssize_t>(owner.size())) {
    return tl::unexpected<Error>(os_error(path, "cannot be written"));
  }
  return {};
}

}  // namespace

Result<DataDirectoryLock> DataDirectoryLock::acquire(const std::filesystem::path& directory) {
  std::error_code error;
  // Without a trailing slash or "..", whose parents are not what they seem.
  std::filesystem::path whole = std::filesystem::weakly_canonical(directory, error);
  if (error) {
    return fail(Errc::io, directory.string() + ": " + error.message());
  }
  if (!whole.has_filename()) {
    whole = whole.parent_path();
  }
  if (auto made = make_directory(whole); !made) {
    return tl::unexpected(made.error());
  }
  const auto path = whole / "LOCK";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return tl::unexpected<Error>(os_error(path, "cannot be opened"));
  }
  DataDirectoryLock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return tl::unexpected<Error>(os_error(path, "cannot be locked"));
    }
    const std::string owner = owner_of(descriptor);
    return fail(Errc::refused, "data directory " + whole.string() + ": in use by " +
                                   (owner.empty() ? "another process" : "process " + owner));
  }
  if (auto written = write_owner(descriptor, path); !written) {
    return tl::unexpected(written.error());
  }
  return lock;
}

DataDirectoryLock::DataDirectoryLock(DataDirectoryLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

DataDirectoryLock& DataDirectoryLock::operator=(DataDirectoryLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

DataDirectoryLock::~DataDirectoryLock() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

}  // namespace forerun
