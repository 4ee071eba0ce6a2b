#include "storage/checkpointer.hpp"

#include <algorithm>
#include <utility>

#include "base/failpoint.hpp"

namespace forerun {

namespace {

/// A rest that the writer copies itself: a few milliseconds of its time.
constexpr int writer_pages_max = 64;
/// A log that grows faster than it is copied: after so many tries the writer copies the rest,
/// whatever its size, and so slows itself down.
constexpr int passes_max = 4;
/// A thread that gets no time to copy: the writer waits for it once the log has grown by so many
/// times checkpoint_pages since copying began. With no reader in the way this bounds the log.
constexpr int overdue_factor = 8;
/// Where a test waits for a copy at a failpoint: it need not fill a log first.
constexpr int armed_pages_max = 20;

}  // namespace

Checkpointer::Checkpointer(sqlite::Connection connection, int checkpoint_pages)
    : checkpoint_pages_(is_failpoint_armed(Failpoint::disk_checkpoint) ||
                                is_failpoint_armed(Failpoint::disk_checkpointed)
                            ? std::min(checkpoint_pages, armed_pages_max)
                            : checkpoint_pages),
      connection_(std::move(connection)),
      next_at_(checkpoint_pages_) {}

Result<std::unique_ptr<Checkpointer>> Checkpointer::start(const std::filesystem::path& path,
                                                          const std::string& file_layer,
                                                          int checkpoint_pages) {
  auto connection = sqlite::Connection::open(path, sqlite::Access::read_write, file_layer);
  if (!connection) {
    return tl::unexpected(connection.error());
  }
  // Only a connection that has read once knows that the file has a log.
  if (auto read = connection->number("SELECT count(*) FROM sqlite_schema"); !read) {
    return tl::unexpected(read.error());
  }
  std::unique_ptr<Checkpointer> checkpointer(
      new Checkpointer(std::move(*connection), checkpoint_pages));
  checkpointer->thread_ = std::thread([self = checkpointer.get()] { self->run(); });
  return checkpointer;
}

Checkpointer::~Checkpointer() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Checkpointer::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stops_ || is_copying_; });
    if (stops_) {
      return;
    }
    lock.unlock();
    Result<void> copied = connection_.checkpoint();
    lock.lock();
    is_copying_ = false;
    changed_.notify_all();
    if (!copied) {
      health_ = std::move(copied);
    }
  }
}

Result<void> Checkpointer::health() {
  const std::lock_guard lock(mutex_);
  return health_;
}

Result<void> Checkpointer::committed(sqlite::Connection& writer) {
  const int pages = writer.wal_pages();
  if (pages < std::exchange(last_pages_, pages)) {
    // The log has started over, so what was copied of it says nothing about this one.
    is_copy_current_ = false;
    passes_ = 0;
  }
  if (pages < next_at_) {
    next_at_ = std::min(next_at_, pages + checkpoint_pages_);
    return {};
  }
  std::unique_lock lock(mutex_);
  const bool is_overdue = pages - next_at_ >= overdue_factor * checkpoint_pages_;
  if (is_overdue) {
    changed_.wait(lock, [this] { return !is_copying_; });
  }
  if (is_copying_ || !health_) {
    return health_;
  }
  const bool is_nearly_done = pages - pages_before_ <= writer_pages_max || passes_ >= passes_max;
  if (is_copy_current_ && (is_overdue || is_nearly_done)) {
    is_copy_current_ = false;
    passes_ = 0;
    next_at_ = pages + checkpoint_pages_;
    health_ = writer.checkpoint();
    return health_;
  }
  is_copying_ = true;
  is_copy_current_ = true;
  pages_before_ = pages;
  ++passes_;
  changed_.notify_all();
  return {};
}

}  // namespace forerun
