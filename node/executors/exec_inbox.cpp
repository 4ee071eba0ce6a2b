#include "node/executors/exec_inbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "base/assert.hpp"

namespace forerun {

ExecInbox::ExecInbox() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  FORERUN_ASSERT(wake_.is_open());
}

std::uint64_t ExecInbox::start(Run run, RunDone done) {
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    FORERUN_ASSERT(!content_.is_closed);
    id = ++last_id_;
    const bool is_refused = open_.size() >= exec_runs_max;
    open_.insert(id);
    content_.starts.push_back({id, std::move(run), std::move(done), RunClock::now(), is_refused});
  }
  wake();
  return id;
}

void ExecInbox::stop(std::uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    if (!open_.contains(id)) {
      return;
    }
    content_.stops.push_back(id);
  }
  wake();
}

void ExecInbox::prepare(std::vector<Task> tasks) {
  {
    const std::lock_guard lock(mutex_);
    content_.prepared = std::move(tasks);
  }
  wake();
}

void ExecInbox::close() {
  {
    const std::lock_guard lock(mutex_);
    content_.is_closed = true;
  }
  wake();
}

void ExecInbox::ended(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  open_.erase(id);
}

ExecInbox::Content ExecInbox::take() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t size = ::read(wake_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  Content content = std::exchange(content_, {});
  content_.is_closed = content.is_closed;
  return content;
}

void ExecInbox::wake() {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the thread is awake anyway.
  [[maybe_unused]] const ssize_t size = ::write(wake_.get(), &one, sizeof one);
}

}  // namespace forerun
