#include "base/private_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/failpoint.hpp"

namespace forerun {
namespace {

namespace fs = std::filesystem;

std::string system_error() {
  return std::strerror(errno);
}

class FileDescriptor {
public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() { close(); }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  bool close() {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0;
  }

private:
  int fd_;
};

Error open_to_others(const fs::path& path) {
  return {Errc::refused, path.string() +
                             ": others have access to it, expected mode 0600 (chmod 600 " +
                             path.string() + "; if a secret was exposed, replace it)"};
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) {
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
  }
  return true;
}

}  // namespace

Result<std::optional<std::string>> read_private_file(const fs::path& path, mode_t forbidden) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() < 0) {
    if (errno == ENOENT) {
      return std::optional<std::string>();
    }
    return fail(Errc::io, path.string() + ": " + system_error());
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return fail(Errc::io, path.string() + ": " + system_error());
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(Errc::invalid, path.string() + ": not a file");
  }
  if ((status.st_mode & forbidden) != 0) {
    return tl::unexpected(open_to_others(path));
  }
  std::string text(private_file_bytes_max + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno != EINTR) {
      return fail(Errc::io, path.string() + ": " + system_error());
    }
    if (got == 0) {
      break;
    }
    size += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
  }
  if (size > private_file_bytes_max) {
    return fail(Errc::too_large,
                path.string() + ": more than " + std::to_string(private_file_bytes_max) + " bytes");
  }
  text.resize(size);
  return std::optional(std::move(text));
}

Result<void> check_private(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return fail(errno == ENOENT ? Errc::not_found : Errc::io,
                path.string() + ": " + system_error());
  }
  if (S_ISREG(status.st_mode) && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return tl::unexpected(open_to_others(path));
  }
  return {};
}

void make_private(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) {
    ::fchmod(descriptor, S_IRUSR | S_IWUSR);
  }
}

Result<void> write_private_file(const fs::path& path, std::string_view text) {
  fs::path next = path;
  next += ".new";
  const auto failed = [&] {
    const std::string why = system_error();
    ::unlink(next.c_str());
    return fail(Errc::io, path.string() + ": " + why);
  };
  ::unlink(next.c_str());
  FileDescriptor file(::open(next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                             S_IRUSR | S_IWUSR));
  if (file.get() < 0 || fails_at(Failpoint::file_write) || !write_all(file.get(), text) ||
      ::fsync(file.get()) != 0 || !file.close() || fails_at(Failpoint::file_rename) ||
      ::rename(next.c_str(), path.c_str()) != 0) {
    return failed();
  }
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const FileDescriptor folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) {
    return fail(Errc::io, parent.string() + ": " + system_error());
  }
  reach(Failpoint::file_written);
  return {};
}

Result<FolderLock> FolderLock::take(const fs::path& folder) {
  FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) {
    return fail(Errc::io, folder.string() + ": " + system_error());
  }
  while (::flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) {
      return fail(Errc::io, folder.string() + ": lock: " + system_error());
    }
  }
  return FolderLock(fd.release());
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

std::string file_stamp(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return {};
  }
  std::string stamp;
  for (const auto part :
       {static_cast<long long>(status.st_ino), static_cast<long long>(status.st_size),
        static_cast<long long>(status.st_mtim.tv_sec),
        static_cast<long long>(status.st_mtim.tv_nsec),
        // Who may read it counts too.
        static_cast<long long>(status.st_ctim.tv_sec),
        static_cast<long long>(status.st_ctim.tv_nsec)}) {
    stamp += std::to_string(part) + ' ';
  }
  return stamp;
}

}  // namespace forerun
