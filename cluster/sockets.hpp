#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <iterator>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cluster/bus.hpp"
#include "cluster/keys.hpp"

namespace zmq {
class context_t;
class message_t;
class socket_t;
}  // namespace zmq

/// What both buses share. Private to this folder.
namespace forerun::wiring {

inline constexpr std::size_t batch_frames_max = 128;  ///< Frames in one callback.
inline constexpr std::size_t receive_turn_max =
    1024;  ///< Frames read before the outbox gets its turn.
inline constexpr std::size_t send_turn_max =
    4096;  ///< Frames sent before the sockets are read again.
inline constexpr std::chrono::milliseconds handshake_max{3000};
inline constexpr std::chrono::milliseconds heartbeat_interval{200};
inline constexpr std::chrono::milliseconds heartbeat_timeout{1000};
inline constexpr std::string_view zap_domain = "forerun";

/// `tcp://HOST:PORT`, with brackets around an IPv6 address.
std::string endpoint(std::string_view host, std::uint16_t port);

/// For people who look at a process's threads; at most 15 bytes.
void name_this_thread(const char* name);

/// Limits, heartbeats, no lingering: on every socket, before bind or connect. They throw
/// zmq::error_t.
void harden(zmq::socket_t& socket, std::string_view host, const BusLimits& limits);
void serve_curve(zmq::socket_t& socket, const CurveKeyPair& server);
void use_curve(zmq::socket_t& socket, const CurveKeyPair& own, const CurveKey& server);

/// Sends without waiting. Returns 0 or errno.
int send_frame(zmq::socket_t& socket, std::string_view frame, bool more = false);
/// Receives without waiting. False when there is nothing.
bool receive(zmq::socket_t& socket, zmq::message_t& message);
/// Reads away what is left of a message of several parts.
void skip_parts(zmq::socket_t& socket, zmq::message_t& message);
std::string_view bytes_of(const zmq::message_t& message);

/// How a connection attempt went, as ZeroMQ's monitor tells it.
enum class Handshake { succeeded, refused, broken, unreachable };
/// Makes the socket report its handshakes on a new socket of the same context. End with
/// close_monitored(): a report that nobody takes any more holds up the context's I/O thread for
/// ever, and with it every other socket.
zmq::socket_t monitor(zmq::context_t& context, zmq::socket_t& socket, const std::string& name);
/// Ends the reports, then closes both. Either may be closed already.
void close_monitored(zmq::socket_t& socket, zmq::socket_t& reports);
/// The next report without waiting.
std::optional<Handshake> next_handshake(zmq::socket_t& monitor_socket);

/// A socket to wait for. Its descriptor tells of news only as long as nobody has taken the news in
/// passing, which every send and every read may do: after a send, or a read that got something, the
/// socket must be asked once before anybody sleeps. A receive() that got nothing has asked.
struct Watched {
  zmq::socket_t* socket = nullptr;
  bool is_unsure = true;
  bool is_ready = false;  ///< Set by wait_readable(): there may be something to read.
};

/// Waits until one of the sockets, or the descriptor, is readable, or the time has passed
/// (negative: for ever). True when the descriptor is readable.
bool wait_readable(std::span<Watched> sockets, int descriptor, std::chrono::microseconds timeout);

/// Wakes the bus's thread out of wait_readable().
class WakeUp {
public:
  WakeUp();
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;
  ~WakeUp();
  int descriptor() const { return fd_; }
  bool is_usable() const { return fd_ >= 0; }
  void signal() const;
  void clear() const;

private:
  int fd_;
};

/// A bounded queue into the bus's thread. push() from any thread, take() from the bus's thread
/// alone.
template <class Item>
class Outbox {
public:
  explicit Outbox(std::size_t items_max) : items_max_(items_max) {}

  /// False when it is full.
  bool push(Item item, const WakeUp& wake) {
    bool was_empty = false;
    {
      const std::lock_guard lock(mutex_);
      if (items_.size() >= items_max_) {
        return false;
      }
      was_empty = items_.empty();
      items_.push_back(std::move(item));
    }
    // The bus's thread empties the outbox before it sleeps; it need not wake itself.
    if (was_empty && std::this_thread::get_id() != reader_) {
      wake.signal();
    }
    return true;
  }

  /// Moves up to send_turn_max items to `to`. Returns true when more are waiting.
  bool take(std::vector<Item>& to) {
    const std::lock_guard lock(mutex_);
    const std::size_t count = std::min(items_.size(), send_turn_max);
    const auto end = items_.begin() + static_cast<std::ptrdiff_t>(count);
    to.assign(std::make_move_iterator(items_.begin()), std::make_move_iterator(end));
    items_.erase(items_.begin(), end);
    return !items_.empty();
  }

  /// Called by the bus's thread.
  void read_by(std::thread::id reader) { reader_ = reader; }

private:
  const std::size_t items_max_;
  std::atomic<std::thread::id> reader_;
  std::mutex mutex_;
  std::deque<Item> items_;
};

}  // namespace forerun::wiring
