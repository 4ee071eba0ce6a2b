// The loop that runs a process's actors on its caller's thread.
#include "actors/actor_loop.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <catch2/catch.hpp>
#include <optional>
#include <thread>
#include <vector>

using namespace forerun;
using namespace std::chrono_literals;

namespace {

using Later = caf::atom_constant<caf::atom("later")>;
using Sooner = caf::atom_constant<caf::atom("sooner")>;

/// Turns the loop until `is_done`, resting as long as it says.
template <class Done>
void turn(ActorLoop& loop, Done&& is_done) {
  while (!is_done()) {
    loop.run();
    if (const auto rest = loop.rest(); !is_done() && rest) {
      std::this_thread::sleep_for(*rest);
    }
  }
}

}  // namespace

TEST_CASE("the loop's own thread gives out delayed messages in their order, and rests until then",
          "[actor_loop]") {
  const auto loop = ActorLoop::make();
  caf::actor_system_config config;
  loop->schedule(config);
  caf::actor_system system(config);
  std::vector<std::thread::id> ran;
  std::vector<caf::atom_value> order;
  system.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    self->delayed_send(self, 30ms, Later::value);
    self->delayed_send(self, 10ms, Sooner::value);
    const auto note = [&, self](caf::atom_value what) {
      ran.push_back(std::this_thread::get_id());
      order.push_back(what);
      if (order.size() == 2) {
        self->quit();
      }
    };
    return {[note](Later) { note(Later::value); }, [note](Sooner) { note(Sooner::value); }};
  });
  CHECK(loop->rest() == 0us);  // The actor has yet to start.
  loop->run();
  REQUIRE(loop->rest());
  CHECK(*loop->rest() <= 10ms);
  turn(*loop, [&] { return order.size() == 2; });
  CHECK(order == std::vector<caf::atom_value>{Sooner::value, Later::value});
  CHECK(ran == std::vector(2, std::this_thread::get_id()));
  loop->run();
  CHECK_FALSE(loop->rest());  // Nothing is left to wait for.
}

TEST_CASE("a delayed message from another thread wakes the loop only if it is due first",
          "[actor_loop]") {
  const auto loop = ActorLoop::make();
  caf::actor_system_config config;
  loop->schedule(config);
  caf::actor_system system(config);
  const auto actor = system.spawn([](caf::event_based_actor*) -> caf::behavior {
    return {[](Later) {}, [](Sooner) {}};
  });
  loop->run();
  int wakes = 0;
  loop->wake_with([&] { ++wakes; });
  const auto from_another_thread = [&](auto&& send) { std::thread(send).join(); };
  from_another_thread([&] { caf::scoped_actor(system)->delayed_send(actor, 1h, Sooner::value); });
  CHECK(wakes == 1);
  from_another_thread([&] { caf::scoped_actor(system)->delayed_send(actor, 2h, Later::value); });
  CHECK(wakes == 1);
  REQUIRE(loop->rest());
  CHECK(*loop->rest() > 59min);
  caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  loop->run();
  loop->wake_with({});
}
