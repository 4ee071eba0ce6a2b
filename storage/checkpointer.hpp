#pragma once

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.hpp"
#include "storage/sqlite.hpp"

namespace forerun {

/// Keeps a store's write-ahead log short without making its writer wait. A thread with its own
/// connection copies the log into the file, again while the writer has added much in the meantime;
/// the writer copies only the few pages that are left, since just a log that is copied whole starts
/// over.
class Checkpointer {
public:
  static Result<std::unique_ptr<Checkpointer>> start(const std::filesystem::path& path,
                                                     const std::string& file_layer,
                                                     int checkpoint_pages);
  ~Checkpointer();

  /// For the writer, before each commit. A sync that failed once may succeed when asked again
  /// though its pages are lost, so one failure is final. Errors: io.
  Result<void> health();
  /// For the writer, after each commit. Errors: io.
  Result<void> committed(sqlite::Connection& writer);

private:
  Checkpointer(sqlite::Connection connection, int checkpoint_pages);
  void run();

  const int checkpoint_pages_;
  sqlite::Connection connection_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool is_copying_ = false;
  bool stops_ = false;
  Result<void> health_;
  // The writer's own.
  int next_at_;           ///< Pages in the log at which the next copying begins.
  int last_pages_ = 0;    ///< In the log after the commit before.
  int pages_before_ = 0;  ///< In the log when it last began.
  int passes_ = 0;
  bool is_copy_current_ = false;  ///< It began for the log that is being written now.
  std::thread thread_;
};

}  // namespace forerun
