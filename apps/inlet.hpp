#pragma once

#include <caf/send.hpp>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace forerun {

/// Hands messages from foreign threads to an actor that may not run yet: sockets open before the
/// brain does.
template <class Actor, class Message>
class Inlet {
public:
  static constexpr std::size_t backlog_max =
      4096;  ///< Beyond it the oldest senders repeat themselves anyway.

  void put(Message message) {
    const std::scoped_lock lock(mutex_);
    if (actor_) {
      caf::anon_send(*actor_, std::move(message));
    } else if (backlog_.size() < backlog_max) {
      backlog_.push_back(std::move(message));
    }
  }
  void open(Actor actor) {
    const std::scoped_lock lock(mutex_);
    actor_ = std::move(actor);
    for (Message& message : backlog_) {
      caf::anon_send(*actor_, std::move(message));
    }
    backlog_.clear();
  }
  void close() {
    const std::scoped_lock lock(mutex_);
    actor_.reset();
    backlog_.clear();
  }

private:
  std::mutex mutex_;
  std::optional<Actor> actor_;
  std::vector<Message> backlog_;
};

}  // namespace forerun
