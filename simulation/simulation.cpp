#include "simulation/simulation.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <map>
#include <utility>

#include "simulation/client.hpp"
#include "simulation/coordinator_host.hpp"
#include "simulation/environment.hpp"
#include "simulation/network.hpp"
#include "simulation/node_host.hpp"
#include "simulation/operator.hpp"

namespace forerun::simulation {
namespace {

constexpr Duration settle_time = std::chrono::seconds(6);  ///< Longer than any silence or retry.
constexpr Duration look_every = std::chrono::milliseconds(500);
constexpr Duration time_max = std::chrono::minutes(10);
constexpr std::uint64_t events_max = 3'000'000;

const std::map<std::string, Plant, std::less<>>& plants() {
  static const std::map<std::string, Plant, std::less<>> names{
      {"skip-hazards", Plant::skip_hazards}, {"early-reply", Plant::early_reply},
      {"lost-discard", Plant::lost_discard}, {"lost-marks", Plant::lost_marks},
      {"lost-intent", Plant::lost_intent},   {"repeated-run", Plant::repeated_run}};
  return names;
}

SigningKey key_of(Prng& prng) {
  std::array<std::uint8_t, 32> seed{};
  for (std::uint8_t& byte : seed) {
    byte = static_cast<std::uint8_t>(prng.below(256));
  }
  return SigningKey::from_seed(seed);
}

Uuid uuid_of(Prng& prng) {
  std::array<std::uint8_t, 16> random{};
  for (std::uint8_t& byte : random) {
    byte = static_cast<std::uint8_t>(prng.below(256));
  }
  return Uuid::from_random(random);
}

/// One seed in eight is calm, so that what goes wrong without any fault is told apart.
Weather weather_of(Prng& prng, Instant start) {
  Weather weather;
  weather.sync_median =
      std::chrono::microseconds(200 + static_cast<Duration::rep>(prng.below(6000)));
  weather.link_median =
      std::chrono::microseconds(100 + static_cast<Duration::rep>(prng.below(3000)));
  if (prng.below(8) == 0) {
    weather.faults_end = start;
    return weather;
  }
  weather.faults_end =
      start + std::chrono::milliseconds(2000 + static_cast<Duration::rep>(prng.below(8000)));
  weather.fault_every =
      std::chrono::milliseconds(150 + static_cast<Duration::rep>(prng.below(1800)));
  const auto sometimes = [&prng](double most) {
    return prng.chance(0.5) ? prng.unit() * most : 0.0;
  };
  weather.publication_loss = sometimes(0.4);
  weather.branch_loss = sometimes(0.1);
  weather.branch_hang = sometimes(0.03);
  weather.crash_in_step = sometimes(0.003);
  weather.client_leaves = sometimes(0.2);
  return weather;
}

/// One cluster with its clients.
class Cluster {
public:
  explicit Cluster(const SimulationSettings& settings)
      : prng_(settings.seed * 0x9e3779b97f4a7c15ULL + 0x243f6a8885a308d3ULL),
        time_(settings.prints_trace),
        catalog_(make_catalog()),
        key_(key_of(prng_)),
        auditor_(time_, catalog_, key_.public_key()),
        env_{time_,         prng_, auditor_, outside_, catalog_, weather_of(prng_, time_.now()),
             settings.plant},
        node_count_(1 + prng_.below(4)),
        network_(env_, node_count_),
        coordinator_(env_, network_, key_),
        operator_(env_, coordinator_) {
    make_nodes();
    make_clients();
    connect();
  }

  SimulationReport run();

private:
  void make_nodes();
  void make_clients();
  void connect();
  void plan_fault();
  void fault();
  void look_on();
  void finish();
  bool is_done() const;

  Prng prng_;
  Timeline time_;
  Catalog catalog_;
  SigningKey key_;
  Outside outside_;
  Auditor auditor_;
  Environment env_;
  std::size_t node_count_;
  Network network_;
  CoordinatorHost coordinator_;
  Operator operator_;
  std::deque<NodeHost> nodes_;
  std::deque<Client> clients_;
  std::optional<Instant> done_at_;
  bool is_over_ = false;
};

void Cluster::make_nodes() {
  for (std::size_t i = 0; i < node_count_; ++i) {
    NodeHost::Identity identity;
    identity.index = i;
    identity.ledger_key = key_.public_key();
    identity.slots = 1 + static_cast<std::uint32_t>(prng_.below(3));
    for (std::uint64_t count = 1 + prng_.below(2); count > 0; --count) {
      identity.workers.push_back(WorkerId{uuid_of(prng_)});
    }
    nodes_.emplace_back(env_, network_, std::move(identity));
  }
}

void Cluster::make_clients() {
  static constexpr std::array<const char*, 3> races{"score_ordered", "score_ranked",
                                                    "score_seeded"};
  const char* race = races[prng_.below(races.size())];
  for (std::uint64_t i = 0, count = 2 + prng_.below(4); i < count; ++i) {
    clients_.emplace_back(
        env_, coordinator_,
        Client::Identity{i, 3 + static_cast<std::uint32_t>(prng_.below(4)), race});
  }
}

void Cluster::connect() {
  network_.connect({
      [this](ConnectionId connection, std::size_t node, const NodeMessage& message) {
        coordinator_.step(NodeSaid{connection, nodes_[node].id(), message});
      },
      [this](ConnectionId connection) { coordinator_.step(NodeUnreachable{connection}); },
      [this](std::size_t node, const CoordinatorMessage& message) {
        nodes_[node].receive(message);
      },
  });
  coordinator_.serve(
      [this](const ClientResponse& response) {
        const auto* failed = std::get_if<RequestFailed>(&response.body);
        time_.note("response " + to_string(response.id) +
                   (failed != nullptr ? ": " + failed->message : std::string()));
        if (!operator_.receive(response)) {
          std::any_of(clients_.begin(), clients_.end(),
                      [&](Client& client) { return client.receive(response); });
        }
      },
      [this] {
        for (Client& client : clients_) {
          client.coordinator_went_down();
        }
      });
}

// ---- faults ------------------------------------------------------------------------------------

void Cluster::plan_fault() {
  time_.after(env_.around(env_.weather.fault_every), [this] {
    if (env_.has_faults()) {
      fault();
      plan_fault();
    }
  });
}

void Cluster::fault() {
  const std::size_t node = prng_.below(node_count_);
  switch (prng_.below(8)) {
    case 0:
    case 1:
      nodes_[node].crash();
      return;
    case 2:
      coordinator_.crash();
      return;
    case 3:
    case 4:
      time_.note("connection of node " + std::to_string(node) + " breaks");
      network_.break_link(node);
      return;
    case 5:
      time_.note("node " + std::to_string(node) + " is cut off");
      network_.cut(node);
      time_.after(env_.between(std::chrono::milliseconds(50), std::chrono::milliseconds(4000)),
                  [this, node] { network_.heal(node); });
      return;
    case 6:
      coordinator_.fail_next_write(prng_.chance(0.5) ? FailedWrite::is_kept : FailedWrite::is_lost);
      return;
    default:
      nodes_[node].sync_replica();
  }
}

// ---- the run -----------------------------------------------------------------------------------

bool Cluster::is_done() const {
  return std::all_of(clients_.begin(), clients_.end(), [](const Client& c) { return c.is_done(); });
}

void Cluster::look_on() {
  if (!env_.has_faults()) {
    for (Client& client : clients_) {
      client.check_waiting();
    }
    if (is_done() && !done_at_) {
      done_at_ = time_.now();
      operator_.stop();  // Its last audit ends before all must be at rest.
    }
  }
  if (time_.now() - Instant{} > time_max || time_.events() > events_max) {
    time_.violate("the clients are not done in time");
  }
  if (done_at_ && time_.now() - *done_at_ >= settle_time) {
    finish();
    is_over_ = true;
    return;
  }
  time_.after(look_every, [this] { look_on(); });
}

/// Everything has come to rest: all replicas are whole, all slots free.
void Cluster::finish() {
  const CoordinatorMachine* machine = coordinator_.machine();
  if (machine == nullptr) {
    time_.violate("the coordinator is down at the end");
    return;
  }
  auditor_.finish(machine->epoch());
  if (machine->ledger_size() != auditor_.size()) {
    time_.violate("the coordinator's ledger is not durable at the end");
  }
  for (const NodeHost& node : nodes_) {
    const std::string name = node.id().name;
    if (node.machine() == nullptr || !node.machine()->is_joined()) {
      time_.violate(name + " has not joined at the end");
    } else if (node.machine()->head().size != auditor_.size()) {
      time_.violate(name + " has " + std::to_string(node.machine()->head().size) + " of " +
                    std::to_string(auditor_.size()) + " entries at the end");
    } else if (node.running() != 0) {
      time_.violate(name + " still runs " + std::to_string(node.running()) +
                    " branches at the end");
    }
  }
  if (machine->membership().free_slots() != machine->membership().total_slots()) {
    time_.violate("the coordinator counts " + std::to_string(machine->membership().free_slots()) +
                  " of " + std::to_string(machine->membership().total_slots()) +
                  " slots as free at the end");
  }
}

SimulationReport Cluster::run() {
  coordinator_.start();
  for (NodeHost& node : nodes_) {
    time_.after(env_.between(Duration(0), std::chrono::milliseconds(100)),
                [&node] { node.start(); });
  }
  for (Client& client : clients_) {
    time_.after(env_.between(Duration(0), std::chrono::milliseconds(300)),
                [&client] { client.start(); });
  }
  operator_.start();
  plan_fault();
  time_.after(look_every, [this] { look_on(); });
  while (!is_over_ && time_.run_next()) {
  }
  SimulationReport report;
  report.violation = time_.violation();
  report.trace_hash = time_.trace_hash();
  report.events = time_.events();
  report.entries = auditor_.size();
  report.hits = coordinator_.hits();
  report.discards = coordinator_.discards();
  report.coordinator_crashes = coordinator_.crashes();
  for (const NodeHost& node : nodes_) {
    report.node_crashes += node.crashes();
  }
  report.audits = operator_.audits();
  report.steps = auditor_.steps();
  return report;
}

}  // namespace

Result<Plant> plant_from(std::string_view name) {
  if (const auto found = plants().find(name); found != plants().end()) {
    return found->second;
  }
  std::string known;
  for (const auto& [plant, value] : plants()) {
    known += (known.empty() ? "" : ", ") + plant;
  }
  return fail(Errc::not_found,
              "--plant: found " + std::string(name) + ", expected one of " + known);
}

SimulationReport simulate(const SimulationSettings& settings) {
  return Cluster(settings).run();
}

}  // namespace forerun::simulation
