#include "cluster/bus.hpp"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <zmq.hpp>

#include "cluster/peer_table.hpp"
#include "cluster/self_test.hpp"
#include "cluster/sockets.hpp"
#include "tests/support/frame_proxy.hpp"

using namespace forerun;
using namespace std::chrono_literals;

namespace {

constexpr auto patience = 30s;

/// What callbacks saw, and a way to wait for it.
class Watch {
public:
  template <class Change>
  void note(Change change) {
    {
      const std::lock_guard lock(mutex_);
      change();
    }
    changed_.notify_all();
  }

  bool until(const std::function<bool()>& holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, holds);
  }

  /// Does `again` each time a moment has passed without the fact: for what a transport may lose.
  bool until(const std::function<bool()>& holds, const std::function<void()>& again) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    std::unique_lock lock(mutex_);
    while (!holds() && std::chrono::steady_clock::now() < deadline) {
      lock.unlock();
      again();
      lock.lock();
      changed_.wait_for(lock, 20ms, holds);
    }
    return holds();
  }

  template <class Read>
  auto get(Read read) {
    const std::lock_guard lock(mutex_);
    return read();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

struct Heard {
  ConnectionId connection;
  NodeId node;
  std::string frame;
};

struct Coordinator {
  CurveKeyPair key = CurveKeyPair::generate();
  Watch watch;
  std::vector<Heard> heard;
  std::set<ConnectionId> gone;
  std::unique_ptr<CoordinatorBus> bus;

  explicit Coordinator(std::vector<AllowedPeer> allowed, BusLimits limits = {}) {
    CoordinatorBusSettings settings;
    settings.limits = limits;
    auto started = CoordinatorBus::start(
        settings, key, std::move(allowed),
        {[this](ConnectionId connection, const NodeId& node, std::vector<std::string> frames) {
           watch.note([&] {
             for (std::string& frame : frames) {
               heard.push_back({connection, node, std::move(frame)});
             }
           });
         },
         [this](ConnectionId connection) { watch.note([&] { gone.insert(connection); }); }});
    INFO((started ? "" : started.error().message));
    REQUIRE(started);
    bus = std::move(*started);
  }

  bool hears(const std::string& frame) {
    return watch.until([&] { return find(frame) != nullptr; });
  }
  /// @pre the watch is held, or nothing arrives any more.
  const Heard* find(const std::string& frame) const {
    const auto found = std::ranges::find(heard, frame, &Heard::frame);
    return found == heard.end() ? nullptr : &*found;
  }
  Heard message(const std::string& frame) {
    REQUIRE(hears(frame));
    return watch.get([&] { return *find(frame); });
  }
};

struct Node {
  CurveKeyPair key;
  Watch watch;
  std::vector<std::string> received;
  std::vector<std::string> published;
  int connected = 0;
  int refused = 0;
  int broken = 0;
  int unreachable = 0;
  std::unique_ptr<NodeBus> bus;

  Node(const Coordinator& coordinator, const CurveKeyPair& own, BusLimits limits = {})
      : Node(coordinator.bus->port(), coordinator.key.public_key, own, limits) {}
  Node(std::uint16_t port, const CurveKey& server, const CurveKeyPair& own, BusLimits limits = {})
      : key(own) {
    const auto append = [this](std::vector<std::string>& to) {
      return [this, &to](std::vector<std::string> frames) {
        watch.note([&] { std::ranges::move(frames, std::back_inserter(to)); });
      };
    };
    auto started = NodeBus::start(
        {"127.0.0.1", port, limits}, own, server,
        {append(received), append(published), [this] { watch.note([&] { ++connected; }); },
         [this] { watch.note([&] { ++refused; }); }, [this] { watch.note([&] { ++broken; }); },
         [this] { watch.note([&] { ++unreachable; }); }});
    REQUIRE(started);
    bus = std::move(*started);
  }

  static bool has(const std::vector<std::string>& frames, const std::string& frame) {
    return std::ranges::find(frames, frame) != frames.end();
  }
  bool gets(const std::string& frame) {
    return watch.until([&] { return has(received, frame); });
  }
  bool is_refused(int times) {
    return watch.until([&] { return refused >= times; });
  }
  bool is_connected(int times) {
    return watch.until([&] { return connected >= times; });
  }
  /// Publishes until one frame has come through: a subscription needs its moment to stand.
  bool follows(Coordinator& coordinator, const std::string& frame) {
    return watch.until([&] { return has(published, frame); },
                       [&] { coordinator.bus->publish(frame); });
  }
};

AllowedPeer peer(const std::string& name, const CurveKeyPair& key) {
  return {name, key.public_key};
}

}  // namespace

TEST_CASE("an allowed node and the coordinator exchange frames both ways", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  Node node(coordinator, key);
  REQUIRE(node.bus->send("hello"));
  const Heard hello = coordinator.message("hello");
  REQUIRE(hello.node == fingerprint(key.public_key));
  REQUIRE(coordinator.bus->send(hello.connection, "welcome"));
  REQUIRE(node.gets("welcome"));
  REQUIRE(node.is_connected(1));
  const std::string zeros(100'000, '\0');
  REQUIRE(node.bus->send(zeros));
  REQUIRE(coordinator.hears(zeros));
}

TEST_CASE("frames of one peer stay in order", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  Node node(coordinator, key);
  constexpr std::size_t count = 5000;
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(node.bus->send(std::to_string(i)));
  }
  REQUIRE(coordinator.hears(std::to_string(count - 1)));
  const auto heard = coordinator.watch.get([&] { return coordinator.heard; });
  REQUIRE(heard.size() == count);
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(heard[i].frame == std::to_string(i));
    REQUIRE(coordinator.bus->send(heard[i].connection, heard[i].frame));
  }
  REQUIRE(node.gets(std::to_string(count - 1)));
  REQUIRE(node.received.size() == count);
  REQUIRE(std::ranges::equal(node.received, heard, {}, {}, &Heard::frame));
}

TEST_CASE("what is published reaches every subscriber, also one that moved", "[bus]") {
  const auto a = CurveKeyPair::generate();
  const auto b = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", a), peer("b", b)});
  Node node_a(coordinator, a);
  Node node_b(coordinator, b);
  node_a.bus->subscribe(1);  // A port where nobody answers.
  node_a.bus->subscribe(coordinator.bus->publish_port());
  node_b.bus->subscribe(coordinator.bus->publish_port());
  REQUIRE(node_a.follows(coordinator, "one"));
  REQUIRE(node_b.follows(coordinator, "two"));
  REQUIRE(coordinator.bus->publish("last"));
  REQUIRE(node_a.watch.until([&] { return Node::has(node_a.published, "last"); }));
  REQUIRE(node_b.watch.until([&] { return Node::has(node_b.published, "last"); }));
}

TEST_CASE("an unknown key gets nothing, and nothing of it is heard", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  Node stranger(coordinator, CurveKeyPair::generate());
  stranger.bus->subscribe(coordinator.bus->publish_port());
  REQUIRE(stranger.bus->send("let me in"));
  REQUIRE(stranger.is_refused(1));
  REQUIRE(stranger.bus->send("let me in"));

  Node node(coordinator, key);
  node.bus->subscribe(coordinator.bus->publish_port());
  REQUIRE(node.follows(coordinator, "news"));
  REQUIRE(node.bus->send("hello"));
  REQUIRE(coordinator.bus->send(coordinator.message("hello").connection, "welcome"));
  REQUIRE(node.gets("welcome"));
  REQUIRE(stranger.is_refused(2));  // It keeps trying, and stays out.
  REQUIRE(coordinator.watch.get([&] { return coordinator.heard.size(); }) == 1);
  REQUIRE(
      stranger.watch.get([&] { return stranger.received.empty() && stranger.published.empty(); }));
  REQUIRE(stranger.connected == 0);
}

TEST_CASE("a refused node gets in once it is allowed, without a restart", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({});
  Node node(coordinator, key);
  REQUIRE(node.is_refused(1));
  coordinator.bus->allow({peer("a", key)});
  REQUIRE(node.is_connected(1));
  REQUIRE(node.bus->send("hello"));
  REQUIRE(coordinator.hears("hello"));
}

TEST_CASE("a node is told why it gets no connection", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  Node other_cluster(coordinator.bus->port(), CurveKeyPair::generate().public_key, key);
  REQUIRE(other_cluster.watch.until([&] { return other_cluster.broken >= 2; }));
  REQUIRE(other_cluster.watch.get([&] { return other_cluster.unreachable; }) == 0);

  Node alone(1, coordinator.key.public_key, key);  // A port where nobody answers.
  REQUIRE(alone.watch.until([&] { return alone.unreachable >= 2; }));
  REQUIRE(alone.watch.get([&] { return alone.broken + alone.refused + alone.connected; }) == 0);
}

TEST_CASE("a node whose key is revoked is told so on the link that it follows", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  Node node(coordinator, key);
  node.bus->subscribe(coordinator.bus->publish_port());
  REQUIRE(node.follows(coordinator, "one"));
  coordinator.bus->allow({});
  REQUIRE(node.is_refused(2));
}

TEST_CASE("a subscription that moves while nobody answers does not hold up the link", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  Node node(coordinator, key);
  for (std::uint16_t round = 1; round <= 500; ++round) {
    node.bus->subscribe(static_cast<std::uint16_t>(1 + round % 2));  // Ports where nobody answers.
    const std::string frame = std::to_string(round);
    node.bus->send(frame);
    REQUIRE(coordinator.hears(frame));  // So the one before is closed, while it reports.
  }
}

TEST_CASE("a node talks to no coordinator but the one whose key it has", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  Node deceived(coordinator.bus->port(), CurveKeyPair::generate().public_key, key);
  REQUIRE(deceived.bus->send("secret"));

  zmq::context_t context;
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  wiring::harden(socket, "127.0.0.1", {});
  wiring::use_curve(socket, key, CurveKeyPair::generate().public_key);
  zmq::socket_t reports(context, zmq::socket_type::pair);
  REQUIRE(zmq_socket_monitor(
              socket.handle(), "inproc://m",
              ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED) == 0);
  reports.set(zmq::sockopt::rcvtimeo, 30'000);
  reports.connect("inproc://m");
  socket.connect(wiring::endpoint("127.0.0.1", coordinator.bus->port()));
  std::vector<std::uint16_t> seen;
  while (seen.size() < 4) {  // Connected and thrown out, twice; never more.
    zmq::message_t event;
    REQUIRE(reports.recv(event));
    std::uint16_t kind = 0;
    std::memcpy(&kind, event.data(), sizeof kind);
    wiring::skip_parts(reports, event);
    seen.push_back(kind);
    REQUIRE(kind != ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
  }
  REQUIRE(deceived.connected == 0);
  REQUIRE(coordinator.watch.get([&] { return coordinator.heard.empty(); }));
}

TEST_CASE("a frame above the limit ends its connection, not the coordinator's work", "[bus]") {
  const auto a = CurveKeyPair::generate();
  const auto b = CurveKeyPair::generate();
  BusLimits small;
  small.frame_bytes = 64U << 10U;
  Coordinator coordinator({peer("a", a), peer("b", b)}, small);
  Node careless(coordinator, a);
  Node node(coordinator, b);
  REQUIRE(node.bus->send("before"));
  REQUIRE(coordinator.hears("before"));
  REQUIRE(careless.is_connected(1));
  REQUIRE(careless.bus->send(std::string(small.frame_bytes, 'x')));
  REQUIRE(coordinator.hears(std::string(small.frame_bytes, 'x')));
  REQUIRE(careless.bus->send(std::string(small.frame_bytes + 1000, 'x')));
  REQUIRE(careless.is_connected(2));
  REQUIRE(careless.bus->send("sorry"));
  REQUIRE(node.bus->send("after"));
  REQUIRE(coordinator.hears("after"));
  REQUIRE(coordinator.hears("sorry"));
  REQUIRE(coordinator.watch.get([&] { return coordinator.heard.size(); }) == 4);
  REQUIRE_FALSE(coordinator.bus->publish(std::string(small.frame_bytes + 1, 'x')));
  REQUIRE_FALSE(coordinator.bus->send(ConnectionId{1}, std::string(small.frame_bytes + 1, 'x')));
}

TEST_CASE("a revoked key is heard no more and gets nothing more", "[bus]") {
  const auto a = CurveKeyPair::generate();
  const auto b = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", a), peer("b", b)});
  Node revoked(coordinator, a);
  Node node(coordinator, b);
  for (Node* each : {&revoked, &node}) {
    each->bus->subscribe(coordinator.bus->publish_port());
    REQUIRE(each->bus->send("hello " + fingerprint(each->key.public_key).name));
    REQUIRE(each->follows(coordinator, "news for " + fingerprint(each->key.public_key).name));
  }
  const Heard hello = coordinator.message("hello " + fingerprint(a.public_key).name);
  const Heard other = coordinator.message("hello " + fingerprint(b.public_key).name);

  coordinator.bus->allow({peer("b", b)});
  REQUIRE(coordinator.watch.until([&] { return coordinator.gone.contains(hello.connection); }));
  REQUIRE(coordinator.bus->send(hello.connection, "too late"));
  REQUIRE(revoked.bus->send("still here"));
  // The publisher is bound again on its port, and only b comes back.
  REQUIRE(node.follows(coordinator, "after the revocation"));
  REQUIRE(node.follows(coordinator, "and again"));
  REQUIRE(node.bus->send("b is here"));
  REQUIRE(coordinator.hears("b is here"));
  REQUIRE(coordinator.bus->send(other.connection, "b is welcome"));
  REQUIRE(node.gets("b is welcome"));
  REQUIRE(coordinator.watch.get([&] { return coordinator.find("still here"); }) == nullptr);
  REQUIRE_FALSE(revoked.watch.get([&] {
    return Node::has(revoked.published, "after the revocation") ||
           Node::has(revoked.received, "too late");
  }));
  REQUIRE(coordinator.watch.get([&] { return coordinator.gone.size(); }) == 1);

  // Allowed again, its old connection is a new one.
  coordinator.bus->allow({peer("a", a), peer("b", b)});
  REQUIRE(coordinator.watch.until([&] { return coordinator.find("again") != nullptr; },
                                  [&] { revoked.bus->send("again"); }));
  REQUIRE(coordinator.message("again").connection != hello.connection);
  REQUIRE(revoked.follows(coordinator, "news again"));
}

TEST_CASE("a peer is who its key says, whatever it claims", "[bus]") {
  const auto a = CurveKeyPair::generate();
  const auto b = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", a), peer("b", b)});
  Node node_a(coordinator, a);
  REQUIRE(node_a.bus->send("I am a"));
  const Heard from_a = coordinator.message("I am a");
  REQUIRE(from_a.node == fingerprint(a.public_key));

  // b names itself as a does: by a's fingerprint as routing id, and in its frame.
  const std::string name = fingerprint(a.public_key).name;
  zmq::context_t context;
  zmq::socket_t forger(context, zmq::socket_type::dealer);
  wiring::harden(forger, "127.0.0.1", {});
  wiring::use_curve(forger, b, coordinator.key.public_key);
  forger.set(zmq::sockopt::routing_id, name);
  forger.connect(wiring::endpoint("127.0.0.1", coordinator.bus->port()));
  forger.send(zmq::str_buffer("User-Id"), zmq::send_flags::sndmore);
  forger.send(zmq::buffer(name), zmq::send_flags::none);  // Two parts: no frame of ours.
  forger.send(zmq::str_buffer("I am a, too"), zmq::send_flags::none);
  const Heard from_b = coordinator.message("I am a, too");
  REQUIRE(from_b.node == fingerprint(b.public_key));
  REQUIRE(from_b.connection != from_a.connection);
  REQUIRE(coordinator.bus->send(from_b.connection, "for b"));
  REQUIRE(coordinator.bus->send(from_a.connection, "for a"));
  REQUIRE(node_a.gets("for a"));
  zmq::message_t answer;
  forger.set(zmq::sockopt::rcvtimeo, 30'000);
  REQUIRE(forger.recv(answer));
  REQUIRE(answer.to_string() == "for b");
  REQUIRE(node_a.received.size() == 1);
  REQUIRE(coordinator.watch.get([&] { return coordinator.heard.size(); }) == 2);
}

TEST_CASE("frames that are replayed, reordered or altered on the way are not heard", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  // Long ones can be told from heartbeats by their size alone: all else is encrypted.
  constexpr std::size_t long_bytes = 5000;
  const auto text = [](char letter) { return std::string(long_bytes, letter); };
  std::atomic<int> seen = 0;
  std::string kept;
  enum class Trick { replay, reorder, alter, replay_later };
  const Trick trick = GENERATE(Trick::replay, Trick::reorder, Trick::alter, Trick::replay_later);
  CAPTURE(trick);
  test::FrameProxy proxy(coordinator.bus->port(), [&](std::string frame) -> std::string {
    if (frame.size() < long_bytes) {
      return frame;
    }
    const int number = seen++;
    if (trick == Trick::replay && number == 0) {
      return frame + frame;
    }
    if (trick == Trick::reorder && number < 2) {
      return number == 0 ? (kept = frame, std::string()) : frame + kept;
    }
    if (trick == Trick::alter && number == 0) {
      frame[frame.size() / 2] ^= 1;
    }
    if (trick == Trick::replay_later) {
      // The first is passed on and kept; it comes again on another connection, before the second.
      return number == 0 ? (kept = frame) : number == 1 ? kept + frame : frame;
    }
    return frame;
  });
  std::optional<Node> node;
  node.emplace(proxy.port(), coordinator.key.public_key, key);
  REQUIRE(node->bus->send("hello"));
  const ConnectionId first = coordinator.message("hello").connection;
  REQUIRE(node->bus->send(text('a')));
  if (trick == Trick::replay_later) {
    REQUIRE(coordinator.hears(text('a')));
    node.reset();
    node.emplace(proxy.port(), coordinator.key.public_key, key);
  }
  if (trick != Trick::replay && trick != Trick::alter) {
    REQUIRE(node->bus->send(text('b')));
  }
  // The connection that carried it ends; the node comes back on another one and is heard.
  REQUIRE(coordinator.watch.until(
      [&] {
        return std::ranges::any_of(coordinator.heard, [&](const Heard& heard) {
          return heard.frame == "again" && heard.connection != first;
        });
      },
      [&] { node->bus->send("again"); }));
  const auto count = [&](char letter) {
    return coordinator.watch.get(
        [&] { return std::ranges::count(coordinator.heard, text(letter), &Heard::frame); });
  };
  CHECK(count('a') == (trick == Trick::replay || trick == Trick::replay_later ? 1 : 0));
  CHECK(count('b') == (trick == Trick::reorder ? 1 : 0));
}

TEST_CASE("two connections with one key are two connections of one node", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  Node first(coordinator, key);
  Node second(coordinator, key);
  REQUIRE(first.bus->send("first"));
  REQUIRE(second.bus->send("second"));
  const Heard one = coordinator.message("first");
  const Heard two = coordinator.message("second");
  REQUIRE(one.node == two.node);
  REQUIRE(one.connection != two.connection);
  REQUIRE(coordinator.bus->send(two.connection, "for the second"));
  REQUIRE(second.gets("for the second"));
  REQUIRE(first.watch.get([&] { return first.received.empty(); }));
}

TEST_CASE("a peer that left is reported unreachable, and comes back as another", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  ConnectionId before;
  {
    Node node(coordinator, key);
    REQUIRE(node.bus->send("hello"));
    before = coordinator.message("hello").connection;
  }
  REQUIRE(coordinator.watch.until([&] { return coordinator.gone.contains(before); },
                                  [&] { coordinator.bus->send(before, "are you there"); }));
  Node again(coordinator, key);
  REQUIRE(again.bus->send("back"));
  REQUIRE(coordinator.message("back").connection != before);
}

TEST_CASE("many threads may send, and each one's frames stay in order", "[bus]") {
  const auto key = CurveKeyPair::generate();
  Coordinator coordinator({peer("a", key)});
  Node node(coordinator, key);
  constexpr int threads = 4;
  constexpr int each = 500;
  std::vector<std::thread> senders;
  for (int thread = 0; thread < threads; ++thread) {
    senders.emplace_back([&node, thread] {
      for (int i = 0; i < each; ++i) {
        node.bus->send(std::to_string(thread) + " " + std::to_string(i));
      }
    });
  }
  for (std::thread& sender : senders) {
    sender.join();
  }
  REQUIRE(coordinator.watch.until([&] { return coordinator.heard.size() == threads * each; }));
  std::map<char, int> next;
  for (const Heard& heard : coordinator.heard) {
    REQUIRE(heard.frame.substr(2) == std::to_string(next[heard.frame[0]]++));
  }
}

TEST_CASE("a full outbox refuses instead of growing", "[bus]") {
  const auto key = CurveKeyPair::generate();
  BusLimits tiny;
  tiny.outbox_frames = 3;
  Watch watch;
  bool is_held = false;
  bool may_go = false;
  const auto server = CurveKeyPair::generate();
  auto bus =
      CoordinatorBus::start({"127.0.0.1", 0, 0, tiny}, server, {peer("a", key)},
                            {[&](ConnectionId, const NodeId&, const std::vector<std::string>&) {
                               watch.note([&] { is_held = true; });
                               watch.until([&] { return may_go; });
                             },
                             [](ConnectionId) {}});
  REQUIRE(bus);
  Node node((*bus)->port(), server.public_key, key);
  REQUIRE(node.bus->send("hold the thread"));
  REQUIRE(watch.until([&] { return is_held; }));
  REQUIRE((*bus)->send(ConnectionId{0}, "1"));
  REQUIRE((*bus)->publish("2"));
  REQUIRE((*bus)->send(ConnectionId{0}, "3"));
  REQUIRE_FALSE((*bus)->send(ConnectionId{0}, "4"));
  REQUIRE_FALSE((*bus)->publish("4"));
  watch.note([&] { may_go = true; });
}

TEST_CASE("a bus ends at once, whatever still waits", "[bus]") {
  const auto key = CurveKeyPair::generate();
  const auto start = std::chrono::steady_clock::now();
  {
    Coordinator coordinator({peer("a", key)});
    Node node(coordinator, key);
    Node nowhere(1, coordinator.key.public_key, key);
    for (int i = 0; i < 1000; ++i) {
      node.bus->send(std::string(10'000, 'x'));
      nowhere.bus->send("nobody reads this");
    }
  }
  REQUIRE(std::chrono::steady_clock::now() - start < 10s);
}

TEST_CASE("an address that is taken is an error that names it", "[bus]") {
  Coordinator coordinator({});
  CoordinatorBusSettings settings;
  settings.port = coordinator.bus->port();
  const auto second = CoordinatorBus::start(
      settings, CurveKeyPair::generate(), {},
      {[](ConnectionId, const NodeId&, const std::vector<std::string>&) {}, [](ConnectionId) {}});
  REQUIRE(second.error().code == Errc::io);
  REQUIRE(second.error().message.find(":" + std::to_string(settings.port)) != std::string::npos);
}

TEST_CASE("the self-test finds a server that lets everybody in, or nobody", "[bus]") {
  const auto server = CurveKeyPair::generate();
  const auto allowed = CurveKeyPair::generate();
  zmq::context_t context;
  zmq::socket_t open(context, zmq::socket_type::router);  // CURVE, and no ZAP handler.
  wiring::harden(open, "127.0.0.1", {});
  wiring::serve_curve(open, server);
  open.bind("tcp://127.0.0.1:*");
  const std::string text = open.get(zmq::sockopt::last_endpoint);
  const auto port = static_cast<std::uint16_t>(std::stoul(text.substr(text.rfind(':') + 1)));
  const auto proof =
      wiring::prove_strangers_stay_out("127.0.0.1", port, port, allowed, server.public_key);
  REQUIRE(proof.error().code == Errc::refused);
  REQUIRE(proof.error().message ==
          "bus: self-test: port " + std::to_string(port) + ": an unknown key got in");

  Coordinator coordinator({});
  const auto closed = wiring::prove_strangers_stay_out("127.0.0.1", coordinator.bus->port(),
                                                       coordinator.bus->publish_port(), allowed,
                                                       coordinator.key.public_key);
  REQUIRE(closed.error().message == "bus: self-test: port " +
                                        std::to_string(coordinator.bus->port()) +
                                        ": an allowed key was refused");
}

TEST_CASE("beyond its size a peer table drops whom it heard least recently", "[peer_table]") {
  wiring::PeerTable table(2);
  std::vector<ConnectionId> forgotten;
  const ConnectionId a = table.add("ra", NodeId{"a"}, forgotten).connection;
  const ConnectionId b = table.add("rb", NodeId{"b"}, forgotten).connection;
  REQUIRE(table.heard("ra", "a", forgotten)->connection == a);
  REQUIRE(forgotten.empty());
  const ConnectionId c = table.add("rc", NodeId{"c"}, forgotten).connection;
  REQUIRE(forgotten == std::vector{b});
  REQUIRE(table.size() == 2);
  REQUIRE(table.heard("rb", "b", forgotten) == nullptr);
  REQUIRE(table.find(c)->node.name == "c");

  // Another user on a known route is another connection.
  forgotten.clear();
  REQUIRE(table.heard("ra", "x", forgotten) == nullptr);
  REQUIRE(forgotten == std::vector{a});
  REQUIRE(table.add("ra", NodeId{"x"}, forgotten).connection > c);
  REQUIRE(table.forget_if([](const NodeId& node) { return node.name == "c"; }) == std::vector{c});
  REQUIRE(table.find(c) == nullptr);
  REQUIRE(table.size() == 1);
}

namespace {

/// Round trips through both buses, the node echoing on its bus's thread.
void measure(std::size_t in_flight, std::size_t rounds) {
  const auto key = CurveKeyPair::generate();
  const auto server = CurveKeyPair::generate();
  const std::string frame(400, 'x');
  Watch watch;
  std::vector<std::chrono::nanoseconds> latencies;
  std::map<std::size_t, std::chrono::steady_clock::time_point> started;
  std::size_t sent = 0;
  std::size_t done = 0;
  CoordinatorBus* bus = nullptr;
  const auto send_one = [&](ConnectionId peer) {
    std::string out = frame;
    std::memcpy(out.data(), &sent, sizeof sent);
    started[sent++] = std::chrono::steady_clock::now();
    bus->send(peer, std::move(out));
  };
  std::chrono::steady_clock::time_point begin;
  auto coordinator = CoordinatorBus::start(
      {}, server, {peer("a", key)},
      {[&](ConnectionId from, const NodeId&, std::vector<std::string> frames) {
         if (frames.size() == 1 && frames[0] == "go") {
           begin = std::chrono::steady_clock::now();
           for (std::size_t i = 0; i < in_flight; ++i) {
             send_one(from);
           }
           return;
         }
         const auto now = std::chrono::steady_clock::now();
         for (const std::string& back : frames) {
           std::size_t number = 0;
           std::memcpy(&number, back.data(), sizeof number);
           latencies.push_back(now - started[number]);
           started.erase(number);
           if (sent < rounds) {
             send_one(from);
           }
         }
         watch.note([&] { done += frames.size(); });
       },
       [](ConnectionId) {}});
  REQUIRE(coordinator);
  bus = coordinator->get();
  NodeBus* echo = nullptr;
  auto started_node = NodeBus::start({"127.0.0.1", bus->port(), {}}, key, server.public_key,
                                     {[&](std::vector<std::string> frames) {
                                        for (std::string& back : frames) {
                                          echo->send(std::move(back));
                                        }
                                      },
                                      [](const std::vector<std::string>&) {},
                                      {},
                                      {}});
  REQUIRE(started_node);
  echo = started_node->get();  // Nothing is received before "go" has gone.
  echo->send("go");
  REQUIRE(watch.until([&] { return done >= rounds; }));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::ranges::sort(latencies);
  std::cout << in_flight << " in flight: p50 " << latencies[latencies.size() / 2].count() / 1000
            << " us, p99 " << latencies[latencies.size() * 99 / 100].count() / 1000 << " us, "
            << static_cast<std::uint64_t>(static_cast<double>(rounds) / took.count())
            << " round trips/s\n";
}

}  // namespace

TEST_CASE("round trips of 400 bytes through both buses", "[.measure]") {
  measure(1, 20'000);
  measure(64, 300'000);
  measure(512, 300'000);
}
