#include "storage/disk.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "base/assert.hpp"
#include "base/failpoint.hpp"

namespace forerun {

namespace {

/// One write or truncation that is not synced yet.
struct Change {
  sqlite3_int64 offset = 0;
  std::string before;
  std::string after;
  sqlite3_int64 size_before = 0;
  bool truncates = false;  ///< Then the file ends at `offset`.
};

}  // namespace

struct Disk::State {
  Kind kind = Kind::real;
  SyncHook before_sync;
  WriteHook before_write;
  std::string name;
  sqlite3_vfs vfs{};
  sqlite3_vfs* root = nullptr;
  std::atomic<std::uint64_t> syncs_begun{0};
  std::atomic<std::uint64_t> syncs_done{0};
  std::atomic<bool> dead{false};
  std::mutex mutex;
  std::map<std::string, std::vector<Change>> unsynced;  ///< By path, in order. Guarded by `mutex`.
};

namespace {

/// SQLite allocates szOsFile bytes for a file: ours, and behind it the wrapped one.
struct File {
  sqlite3_file base;
  Disk::State* disk;
  const char* path;  ///< SQLite keeps it valid while the file is open; null for a temporary one.
};

File* ours(sqlite3_file* file) {
  return reinterpret_cast<File*>(file);
}
sqlite3_file* real(sqlite3_file* file) {
  return reinterpret_cast<sqlite3_file*>(ours(file) + 1);
}
sqlite3_vfs* root_of(sqlite3_vfs* vfs) {
  return static_cast<Disk::State*>(vfs->pAppData)->root;
}

bool tracked(sqlite3_file* file) {
  return ours(file)->disk->kind != Disk::Kind::real && ours(file)->path != nullptr;
}

void about_to_write(Disk::State& disk) {
  if (disk.before_write) {
    disk.before_write();
  }
}

/// What the file holds in [offset, offset + count), cut at its end.
int read_before(sqlite3_file* file, sqlite3_int64 offset, sqlite3_int64 count, Change& change) {
  const int code = real(file)->pMethods->xFileSize(real(file), &change.size_before);
  if (code != SQLITE_OK) {
    return code;
  }
  change.offset = offset;
  const sqlite3_int64 there =
      std::min(count, std::max<sqlite3_int64>(change.size_before - offset, 0));
  change.before.resize(static_cast<std::size_t>(there));
  return there == 0 ? SQLITE_OK
                    : real(file)->pMethods->xRead(real(file), change.before.data(),
                                                  static_cast<int>(there), offset);
}

int close_file(sqlite3_file* file) {
  return real(file)->pMethods->xClose(real(file));
}

int read_file(sqlite3_file* file, void* bytes, int count, sqlite3_int64 offset) {
  return real(file)->pMethods->xRead(real(file), bytes, count, offset);
}

int write_file(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
  if (fails_at(Failpoint::disk_write)) {
    return SQLITE_FULL;
  }
  if (!tracked(file)) {
    return real(file)->pMethods->xWrite(real(file), bytes, count, offset);
  }
  Disk::State& disk = *ours(file)->disk;
  about_to_write(disk);
  const std::lock_guard lock(disk.mutex);
  Change change;
  const int code = disk.dead ? SQLITE_IOERR_WRITE : read_before(file, offset, count, change);
  if (code != SQLITE_OK) {
    return code;
  }
  change.after.assign(static_cast<const char*>(bytes), static_cast<std::size_t>(count));
  disk.unsynced[ours(file)->path].push_back(std::move(change));
  return real(file)->pMethods->xWrite(real(file), bytes, count, offset);
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  if (!tracked(file)) {
    return real(file)->pMethods->xTruncate(real(file), size);
  }
  Disk::State& disk = *ours(file)->disk;
  about_to_write(disk);
  const std::lock_guard lock(disk.mutex);
  Change change;
  sqlite3_int64 old_size = 0;
  int code =
      disk.dead ? SQLITE_IOERR_TRUNCATE : real(file)->pMethods->xFileSize(real(file), &old_size);
  if (code == SQLITE_OK) {
    code = read_before(file, size, std::max<sqlite3_int64>(old_size - size, 0), change);
  }
  if (code != SQLITE_OK) {
    return code;
  }
  change.truncates = true;
  disk.unsynced[ours(file)->path].push_back(std::move(change));
  return real(file)->pMethods->xTruncate(real(file), size);
}

int sync_file(sqlite3_file* file, int flags) {
  Disk::State& disk = *ours(file)->disk;
  const std::uint64_t number = ++disk.syncs_begun;
  if ((disk.before_sync && !disk.before_sync(number)) || fails_at(Failpoint::disk_sync)) {
    return SQLITE_IOERR_FSYNC;
  }
  int code = SQLITE_OK;
  if (tracked(file)) {
    const std::lock_guard lock(disk.mutex);
    if (disk.dead) {
      return SQLITE_IOERR_FSYNC;
    }
    if (disk.kind == Disk::Kind::simulated) {
      disk.unsynced.erase(ours(file)->path);
    }
  } else {
    code = real(file)->pMethods->xSync(real(file), flags);
  }
  disk.syncs_done += code == SQLITE_OK ? 1 : 0;
  reach(Failpoint::disk_synced);
  return code;
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
  return real(file)->pMethods->xFileSize(real(file), size);
}
int lock_file(sqlite3_file* file, int level) {
  return real(file)->pMethods->xLock(real(file), level);
}
int unlock_file(sqlite3_file* file, int level) {
  return real(file)->pMethods->xUnlock(real(file), level);
}
int check_reserved(sqlite3_file* file, int* held) {
  return real(file)->pMethods->xCheckReservedLock(real(file), held);
}
int control_file(sqlite3_file* file, int operation, void* argument) {
  return real(file)->pMethods->xFileControl(real(file), operation, argument);
}
int sector_size(sqlite3_file* file) {
  return real(file)->pMethods->xSectorSize(real(file));
}
int characteristics(sqlite3_file* file) {
  return real(file)->pMethods->xDeviceCharacteristics(real(file));
}
int map_shared(sqlite3_file* file, int page, int size, int extend, void volatile** memory) {
  return real(file)->pMethods->xShmMap(real(file), page, size, extend, memory);
}
int lock_shared(sqlite3_file* file, int offset, int count, int flags) {
  return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}
void shared_barrier(sqlite3_file* file) {
  real(file)->pMethods->xShmBarrier(real(file));
}
int unmap_shared(sqlite3_file* file, int remove) {
  return real(file)->pMethods->xShmUnmap(real(file), remove);
}

/// Version 2: shared memory for the write-ahead log, no memory-mapped reads, whose writes could not
/// be seen here.
constexpr sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_reserved,
    .xFileControl = control_file,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = map_shared,
    .xShmLock = lock_shared,
    .xShmBarrier = shared_barrier,
    .xShmUnmap = unmap_shared,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int open_file(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags, int* out_flags) {
  File* own = ours(file);
  own->base.pMethods = nullptr;
  own->disk = static_cast<Disk::State*>(vfs->pAppData);
  own->path = path;
  const int code = own->disk->root->xOpen(own->disk->root, path, real(file), flags, out_flags);
  if (code == SQLITE_OK) {
    own->base.pMethods = &methods;
  }
  return code;
}

int delete_file(sqlite3_vfs* vfs, const char* path, int sync_directory) {
  Disk::State& disk = *static_cast<Disk::State*>(vfs->pAppData);
  const std::lock_guard lock(disk.mutex);
  if (disk.dead) {
    return SQLITE_IOERR_DELETE;
  }
  disk.unsynced.erase(path);
  const bool syncs = sync_directory != 0 && disk.kind == Disk::Kind::real;
  return disk.root->xDelete(disk.root, path, syncs ? 1 : 0);
}

void fill(sqlite3_vfs& vfs, Disk::State& state) {
  vfs.iVersion = 2;
  vfs.szOsFile = static_cast<int>(sizeof(File)) + state.root->szOsFile;
  vfs.mxPathname = state.root->mxPathname;
  vfs.zName = state.name.c_str();
  vfs.pAppData = &state;
  vfs.xOpen = open_file;
  vfs.xDelete = delete_file;
  vfs.xAccess = [](sqlite3_vfs* self, const char* path, int flags, int* out) {
    return root_of(self)->xAccess(root_of(self), path, flags, out);
  };
  vfs.xFullPathname = [](sqlite3_vfs* self, const char* path, int size, char* out) {
    return root_of(self)->xFullPathname(root_of(self), path, size, out);
  };
  vfs.xRandomness = [](sqlite3_vfs* self, int size, char* out) {
    return root_of(self)->xRandomness(root_of(self), size, out);
  };
  vfs.xSleep = [](sqlite3_vfs* self, int us) { return root_of(self)->xSleep(root_of(self), us); };
  vfs.xCurrentTime = [](sqlite3_vfs* self, double* out) {
    return root_of(self)->xCurrentTime(root_of(self), out);
  };
  vfs.xCurrentTimeInt64 = [](sqlite3_vfs* self, sqlite3_int64* out) {
    return root_of(self)->xCurrentTimeInt64(root_of(self), out);
  };
  vfs.xGetLastError = [](sqlite3_vfs* self, int size, char* out) {
    return root_of(self)->xGetLastError(root_of(self), size, out);
  };
}

bool write_at(int descriptor, std::string_view bytes, sqlite3_int64 offset) {
  return ::pwrite(descriptor, bytes.data(), bytes.size(), offset) ==
         static_cast<ssize_t>(bytes.size());
}

constexpr sqlite3_int64 sector_bytes = 512;

/// What survives of a change.
bool redo(int descriptor, const Change& change, const std::function<bool()>& survives,
          Disk::Grain grain) {
  if (change.truncates) {
    return !survives() || ::ftruncate(descriptor, change.offset) == 0;
  }
  const auto size = static_cast<sqlite3_int64>(change.after.size());
  for (sqlite3_int64 from = 0; from < size;) {
    sqlite3_int64 until = size;
    if (grain == Disk::Grain::sector) {
      until = std::min(size, from + sector_bytes - (change.offset + from) % sector_bytes);
    }
    const std::string_view part(change.after.data() + from, static_cast<std::size_t>(until - from));
    if (survives() && !write_at(descriptor, part, change.offset + from)) {
      return false;
    }
    from = until;
  }
  return true;
}

/// Back to what was synced, then forward with what survives.
bool rewind(int descriptor, const std::vector<Change>& changes,
            const std::function<bool()>& survives, Disk::Grain grain) {
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    if (!write_at(descriptor, change->before, change->offset) ||
        ::ftruncate(descriptor, change->size_before) != 0) {
      return false;
    }
  }
  for (const Change& change : changes) {
    if (!redo(descriptor, change, survives, grain)) {
      return false;
    }
  }
  return true;
}

Result<void> lose(Disk::State& disk, const std::function<bool()>& survives, Disk::Grain grain) {
  const std::lock_guard lock(disk.mutex);
  disk.dead = true;
  for (const auto& [path, changes] : disk.unsynced) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    const bool done = descriptor >= 0 && rewind(descriptor, changes, survives, grain);
    ::close(descriptor);
    if (!done) {
      return fail(Errc::io, "disk: " + path + ": cannot take writes back: " + std::strerror(errno));
    }
  }
  return {};
}

}  // namespace

Disk::Disk(Kind kind, SyncHook before_sync, WriteHook before_write)
    : state_(std::make_shared<State>()) {
  const bool is_power_to_be_cut = kind == Kind::real && is_power_cut_armed();
  state_->kind = is_power_to_be_cut ? Kind::simulated : kind;
  state_->before_sync = std::move(before_sync);
  state_->before_write = std::move(before_write);
  // SQLite finds file layers by name, so each needs its own.
  static std::atomic<std::uint64_t> last_number{0};
  state_->name = "forerun-disk-" + std::to_string(++last_number);
  state_->root = sqlite3_vfs_find(nullptr);
  FORERUN_ASSERT(state_->root != nullptr && state_->root->iVersion >= 2);
  fill(state_->vfs, *state_);
  FORERUN_ASSERT(sqlite3_vfs_register(&state_->vfs, 0) == SQLITE_OK);
  if (is_power_to_be_cut) {
    // The process dies of it; until then disks may come and go.
    on_power_cut([state = std::weak_ptr<State>(state_)](const std::function<bool()>& coin) {
      if (const auto disk = state.lock()) {
        static_cast<void>(lose(*disk, coin, Grain::sector));
      }
    });
  }
}

Disk::~Disk() {
  sqlite3_vfs_unregister(&state_->vfs);
}

const std::string& Disk::name() const {
  return state_->name;
}

std::uint64_t Disk::sync_count() const {
  return state_->syncs_done;
}

Result<void> Disk::lose_unsynced(const std::function<bool()>& survives, Grain grain) {
  if (state_->kind == Kind::real) {
    return fail(Errc::refused, "disk: losing writes: they are not remembered");
  }
  return lose(*state_, survives, grain);
}

}  // namespace forerun
