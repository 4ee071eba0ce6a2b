#include "cluster/local/temporary_folder.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <system_error>
#include <utility>

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t random_letters = 6;  ///< Of mkdtemp.

/// Another user's folder is never touched, nor one without a lock.
void remove_if_stale(const fs::path& folder, std::chrono::seconds stale_age) {
  const int lock = ::open((folder / "LOCK").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (lock < 0) {
    return;
  }
  struct stat made {};
  const bool is_old = ::fstat(lock, &made) == 0 && made.st_uid == ::getuid() &&
                      ::time(nullptr) - made.st_mtime >= stale_age.count();
  if (is_old && ::flock(lock, LOCK_EX | LOCK_NB) == 0) {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
  ::close(lock);
}

void remove_stale(const fs::path& parent, const std::string& prefix,
                  std::chrono::seconds stale_age) {
  std::error_code problem;
  for (fs::directory_iterator at(parent, problem), end; !problem && at != end;
       at.increment(problem)) {
    const std::string name = at->path().filename().string();
    std::error_code ignored;
    if (name.size() == prefix.size() + 1 + random_letters && name.starts_with(prefix + "-") &&
        at->is_directory(ignored) && !at->is_symlink(ignored)) {
      remove_if_stale(at->path(), stale_age);
    }
  }
}

}  // namespace

Result<TemporaryFolder> TemporaryFolder::make(const std::string& prefix,
                                              std::chrono::seconds stale_age) {
  std::error_code problem;
  const fs::path parent = fs::temp_directory_path(problem);
  std::string name = (parent / (prefix + "-XXXXXX")).string();
  if (!problem) {
    remove_stale(parent, prefix, stale_age);
  }
  if (problem || mkdtemp(name.data()) == nullptr) {
    return fail(Errc::io, "temporary folder " + name + ": cannot be made");
  }
  const fs::path path = name;
  const int lock = ::open((path / "LOCK").c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (lock < 0 || ::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock);
    fs::remove_all(path, problem);
    return fail(Errc::io, "temporary folder " + name + ": cannot be locked");
  }
  return TemporaryFolder(path, lock);
}

TemporaryFolder::TemporaryFolder(std::filesystem::path path, int lock)
    : path_(std::move(path)), lock_(lock) {}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})), lock_(std::exchange(other.lock_, -1)) {}

TemporaryFolder::~TemporaryFolder() {
  if (!path_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  if (lock_ >= 0) {
    ::close(lock_);
  }
}

}  // namespace forerun
