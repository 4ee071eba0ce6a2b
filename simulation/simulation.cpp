#include "simulation/simulation.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <utility>

#include "base/assert.hpp"
#include "simulation/client.hpp"
#include "simulation/coordinator_host.hpp"
#include "simulation/environment.hpp"
#include "simulation/network.hpp"
#include "simulation/node_host.hpp"
#include "simulation/operator.hpp"
#include "simulation/serial_run.hpp"

namespace forerun::simulation {
namespace {

constexpr Duration rest_min = std::chrono::milliseconds(500);
/// Longer than any silence, retry, deadline and idle session.
constexpr Duration rest_max = std::chrono::seconds(45);
constexpr Duration look_every = std::chrono::milliseconds(500);
constexpr Duration time_max = std::chrono::minutes(10);
constexpr std::uint64_t events_max = 3'000'000;
constexpr Duration short_time = std::chrono::milliseconds(50);
constexpr Duration cut_max = std::chrono::milliseconds(4000);
constexpr Duration full_max = std::chrono::milliseconds(1500);
constexpr Duration pause_max = std::chrono::milliseconds(3000);
constexpr Duration jump_max = std::chrono::milliseconds(3000);
constexpr Duration jumps_max = std::chrono::seconds(4);  ///< Of the coordinator, in all.
constexpr int slow_link_times = 50;
constexpr Duration put_back_faults_min = std::chrono::milliseconds(500);
constexpr Duration put_back_faults_max = std::chrono::milliseconds(2500);
constexpr double adoption_disturbed = 0.5;
constexpr Duration imposter_after_max = std::chrono::seconds(4);
constexpr std::uint64_t imposter_connections = 900'000'000;  ///< Beyond every node's.
constexpr const char* imposter_name = "imposter";

/// Streams of numbers that do not disturb each other: what one draws more leaves the others alone.
std::uint64_t seeded(std::uint64_t seed, std::uint64_t stream) {
  return seed * 0x9e3779b97f4a7c15ULL + 0x243f6a8885a308d3ULL + stream * 0x452821e638d01377ULL;
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

const char* race_of(Prng& prng) {
  static constexpr std::array<const char*, 3> races{"score_ordered", "score_ranked",
                                                    "score_seeded"};
  return races[prng.below(races.size())];
}

/// Most clusters are small: what goes wrong is then seen sooner.
std::size_t draw_nodes(Prng& prng, std::uint64_t most) {
  const std::uint64_t drawn = prng.chance(0.8) ? 1 + prng.below(4) : 5 + prng.below(4);
  return std::min(drawn, most);
}

Weather weather_of(const SimulationSettings& settings, Instant start) {
  Prng prng(seeded(settings.seed, 1));
  Weather weather = draw_weather(prng, start, settings.off);
  weather.faults_end = std::min(
      weather.faults_end,
      start + std::chrono::milliseconds(static_cast<Duration::rep>(settings.limits.faults_ms)));
  return weather;
}

/// One cluster with its clients.
class Cluster {
public:
  explicit Cluster(const SimulationSettings& settings)
      : limits_(settings.limits),
        has_imposter_(settings.has_imposter),
        imposter_prng_(seeded(settings.seed, 2)),
        prng_(seeded(settings.seed, 0)),
        time_(settings.prints_trace),
        catalog_(make_catalog()),
        key_(key_of(prng_)),
        auditor_(time_, catalog_, key_.public_key()),
        env_{time_,
             prng_,
             auditor_,
             outside_,
             coverage_,
             catalog_,
             weather_of(settings, time_.now())},
        race_(race_of(prng_)),
        node_count_(draw_nodes(prng_, limits_.nodes)),
        network_(env_, node_count_),
        coordinator_(env_, network_, key_, race_),
        operator_(env_, coordinator_, key_.public_key(), node_count_) {
    make_nodes();
    make_clients();
    connect();
  }

  SimulationReport run();

private:
  void make_nodes();
  void make_clients();
  void connect();
  void plan_imposter(const Join& join);
  void look_for_imposter();
  void plan_fault();
  void strike();
  void strike_node(std::size_t node, Fault fault);
  void strike_link(std::size_t node, Fault fault);
  void strike_coordinator(Fault fault);
  void keep_copy();
  void put_back();
  void disturb_adoption(std::size_t node, bool is_answer);
  void calm_down();
  void look_on();
  /// What is not at rest yet; nothing when all is.
  std::optional<std::string> unrest() const;
  void finish();
  bool is_done() const;

  Limits limits_;
  bool has_imposter_;
  Prng imposter_prng_;
  std::uint64_t imposters_ = 0;
  Prng prng_;
  Timeline time_;
  Catalog catalog_;
  SigningKey key_;
  Outside outside_;
  Coverage coverage_;
  Auditor auditor_;
  Environment env_;
  const char* race_;
  std::size_t node_count_;
  Network network_;
  CoordinatorHost coordinator_;
  Operator operator_;
  std::deque<NodeHost> nodes_;
  std::deque<Client> clients_;
  Duration jumped_{};  ///< By the coordinator's clock.
  std::optional<Instant> done_at_;
  struct Copy {
    MemoryCoordinatorStore store;
    Auditor auditor;  ///< What it knew then.
  };
  std::optional<Copy> copy_;  ///< Of the coordinator's store, until it is put back.
  std::uint64_t put_back_ = 0;
  std::uint64_t serial_ = 0;
  bool is_over_ = false;
};

/// One that lies is found out by two others.
void Cluster::make_nodes() {
  const std::size_t liar =
      node_count_ >= 3 && prng_.chance(0.6) ? prng_.below(node_count_) : node_count_;
  for (std::size_t i = 0; i < node_count_; ++i) {
    NodeHost::Identity identity;
    identity.index = i;
    identity.ledger_key = key_.public_key();
    identity.slots = 1 + static_cast<std::uint32_t>(prng_.below(3));
    identity.slowness = prng_.chance(env_.weather.rate(Fault::slow_workers)) ? 8 : 1;
    for (std::uint64_t count = 1 + prng_.below(2); count > 0; --count) {
      identity.workers.push_back(WorkerId{uuid_of(prng_)});
    }
    identity.lies = i == liar;
    nodes_.emplace_back(env_, network_, std::move(identity));
  }
  if (liar < node_count_) {
    coordinator_.expect_liar(nodes_[liar].id());
    auditor_.expect_liar(nodes_[liar].id());
  }
}

void Cluster::make_clients() {
  for (std::uint64_t i = 0, count = std::min(1 + prng_.below(5), limits_.clients); i < count; ++i) {
    const auto sessions =
        static_cast<std::uint32_t>(std::min(1 + prng_.below(3), limits_.sessions));
    clients_.emplace_back(env_, coordinator_, Client::Identity{i, sessions, race_});
  }
}

void Cluster::connect() {
  network_.connect({
      [this](ConnectionId connection, std::size_t node, const NodeMessage& message) {
        coordinator_.step(NodeSaid{connection, nodes_[node].id(), message});
        if (const auto* join = std::get_if<Join>(&message); join != nullptr && has_imposter_) {
          plan_imposter(*join);
        }
      },
      [this](ConnectionId connection) { coordinator_.step(NodeUnreachable{connection}); },
      [this](std::size_t node, const CoordinatorMessage& message) {
        nodes_[node].receive(message);
      },
      [this](std::size_t node, bool is_answer) { disturb_adoption(node, is_answer); },
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

/// A while after a node joined, whether it is still there or not, another key claims its workers.
void Cluster::plan_imposter(const Join& join) {
  const auto wait = Duration(static_cast<Duration::rep>(
      imposter_prng_.below(static_cast<std::uint64_t>(imposter_after_max.count()))));
  time_.after(wait, [this, join] {
    const auto is_durable = [&](const WorkerOffer& offer) {
      return coordinator_.has_kept_owner(offer.worker);
    };
    if (!std::all_of(join.workers.begin(), join.workers.end(), is_durable)) {
      return;  // Whoever comes first with a worker has it.
    }
    Join claim;
    claim.protocol = join.protocol;
    claim.name = imposter_name;
    claim.instance = imposter_prng_.next();
    claim.workers = join.workers;
    time_.note("an imposter joins");
    ++imposters_;
    coordinator_.step(
        NodeSaid{ConnectionId{imposter_connections + imposters_}, NodeId{imposter_name}, claim});
    look_for_imposter();
  });
}

void Cluster::look_for_imposter() {
  const CoordinatorMachine* machine = coordinator_.machine();
  if (machine != nullptr && machine->membership().nodes().contains(NodeId{imposter_name})) {
    time_.violate(Rule::assertion,
                  "coordinator: another key got a seat with a worker that it did "
                  "not join with first");
  }
}

// ---- faults ------------------------------------------------------------------------------------

void Cluster::plan_fault() {
  time_.after(env_.around(env_.weather.fault_every), [this] {
    if (env_.has_faults()) {
      strike();
      plan_fault();
    }
  });
}

void Cluster::strike() {
  const std::size_t node = prng_.below(node_count_);
  const Fault fault = draw_event(prng_, env_.weather);
  time_.note(std::string(to_string(fault)) + " (node " + std::to_string(node) + ")");
  switch (fault) {
    case Fault::coordinator_crash:
    case Fault::failed_sync:
    case Fault::paused_coordinator:
      strike_coordinator(fault);
      return;
    case Fault::full_disk:
    case Fault::clock_jump:
      prng_.chance(0.5) ? strike_coordinator(fault) : strike_node(node, fault);
      return;
    case Fault::broken_link:
    case Fault::cut:
    case Fault::one_way_cut:
    case Fault::slow_link:
      strike_link(node, fault);
      return;
    default:
      strike_node(node, fault);
  }
}

void Cluster::strike_coordinator(Fault fault) {
  switch (fault) {
    case Fault::coordinator_crash:
      coordinator_.crash();
      return;
    case Fault::failed_sync:
      coordinator_.fail_next_write(prng_.chance(0.5) ? FailedWrite::is_kept : FailedWrite::is_lost);
      return;
    case Fault::full_disk:
      coordinator_.fill_disk(env_.between(short_time, full_max));
      return;
    case Fault::paused_coordinator:
      coordinator_.pause(env_.between(short_time, pause_max));
      return;
    case Fault::clock_jump: {
      const Duration ahead = env_.between(short_time, jump_max);
      if (jumped_ + ahead <= jumps_max) {
        jumped_ += ahead;
        coordinator_.jump_ahead(ahead);
      }
      return;
    }
    default:
      FORERUN_ASSERT(false);
  }
}

void Cluster::strike_link(std::size_t node, Fault fault) {
  switch (fault) {
    case Fault::broken_link:
      network_.break_link(node);
      return;
    case Fault::cut:
      network_.cut(node, Network::Cut::both);
      break;
    case Fault::one_way_cut:
      network_.cut(node, prng_.chance(0.5) ? Network::Cut::to_node : Network::Cut::to_coordinator);
      break;
    case Fault::slow_link:
      network_.slow_down(node, slow_link_times);
      time_.after(env_.between(short_time, cut_max), [this, node] { network_.slow_down(node, 1); });
      return;
    default:
      FORERUN_ASSERT(false);
  }
  time_.after(env_.between(short_time, cut_max), [this, node] { network_.heal(node); });
}

void Cluster::strike_node(std::size_t index, Fault fault) {
  NodeHost& node = nodes_[index];
  switch (fault) {
    case Fault::node_crash:
      if (prng_.chance(0.5)) {
        node.sync_replica();
      }
      node.crash();
      return;
    case Fault::node_disk_failure:
      node.fail_next_write(prng_.chance(0.5) ? FailedWrite::is_kept : FailedWrite::is_lost);
      return;
    case Fault::full_disk:
      node.fill_disk(env_.between(short_time, full_max));
      return;
    case Fault::clock_jump:
      node.jump_ahead(env_.between(short_time, jump_max));
      return;
    case Fault::paused_node:
      node.pause(env_.between(short_time, pause_max));
      return;
    case Fault::dead_worker:
      node.stop_workers(env_.between(short_time, cut_max));
      return;
    default:
      FORERUN_ASSERT(false);
  }
}

/// As a backup while the cluster works.
void Cluster::keep_copy() {
  if (prng_.chance(env_.weather.rate(Fault::older_store))) {
    time_.after(env_.between(Duration(0), env_.weather.faults_end - time_.now()), [this] {
      copy_.emplace(Copy{coordinator_.store(), auditor_});
    });
  }
}

/// All that was durable is on every node's disk by now, signed: so all of it can be adopted, and
/// more clients find a cluster that knows of it.
void Cluster::put_back() {
  done_at_.reset();
  for (NodeHost& node : nodes_) {
    node.sync_replica();
  }
  env_.weather.faults_end = time_.now() + env_.between(put_back_faults_min, put_back_faults_max);
  if (has_events(env_.weather)) {
    plan_fault();
  }
  time_.at(env_.weather.faults_end, [this] { calm_down(); });
  clients_.emplace_back(env_, coordinator_, Client::Identity{clients_.size(), 1, race_});
  Copy copy = std::move(*copy_);
  copy_.reset();
  const auto go_on = [this, earlier = std::move(copy.auditor)](bool is_older) {
    if (is_older) {
      time_.note("all is adopted");
      ++put_back_;
      auditor_.put_back(earlier);
    }
    operator_.go_on();
    time_.after(env_.between(Duration(0), std::chrono::milliseconds(300)),
                [this] { clients_.back().start(); });
  };
  coordinator_.put_back(std::move(copy.store), go_on);
}

/// What is seldom sent gets more chances to be struck.
void Cluster::disturb_adoption(std::size_t node, bool is_answer) {
  if (!env_.has_faults() || !prng_.chance(adoption_disturbed)) {
    return;
  }
  const Duration soon = env_.between(Duration(0), env_.weather.link_median);
  const bool crashes =
      env_.weather.rate(is_answer ? Fault::coordinator_crash : Fault::node_crash) > 0;
  switch (prng_.below(3)) {
    case 0:
      if (env_.weather.rate(Fault::broken_link) > 0) {
        time_.after(soon, [this, node] { network_.break_link(node); });
      }
      return;
    case 1:
      if (env_.weather.rate(Fault::one_way_cut) > 0) {
        network_.cut(node, is_answer ? Network::Cut::to_coordinator : Network::Cut::to_node);
        time_.after(env_.between(short_time, cut_max), [this, node] { network_.heal(node); });
      }
      return;
    default:
      if (crashes) {
        time_.after(soon, [this, node, is_answer] {
          is_answer ? coordinator_.crash() : nodes_[node].crash();
        });
      }
  }
}

/// Clocks go right from now on; everything else stops by itself.
void Cluster::calm_down() {
  time_.note("faults stop");
  coordinator_.pace(1);
  for (NodeHost& node : nodes_) {
    node.pace(1);
  }
}

// ---- the run -----------------------------------------------------------------------------------

bool Cluster::is_done() const {
  return std::all_of(clients_.begin(), clients_.end(), [](const Client& c) { return c.is_done(); });
}

void Cluster::look_on() {
  look_for_imposter();
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
    time_.violate(Rule::all_ends, "the clients are not done in time");
  }
  if (done_at_ && time_.now() - *done_at_ >= rest_min) {
    const auto restless = unrest();
    if (!restless && copy_) {
      put_back();
    } else if (!restless) {
      finish();
      is_over_ = true;
      return;
    }
    if (done_at_ && time_.now() - *done_at_ >= rest_max) {
      time_.violate(Rule::all_ends, *restless);
    }
  }
  time_.after(look_every, [this] { look_on(); });
}

std::optional<std::string> Cluster::unrest() const {
  const CoordinatorMachine* machine = coordinator_.machine();
  if (coordinator_.is_putting_back()) {
    return "an older store is put back, and not all is adopted";
  }
  if (machine == nullptr) {
    return "the coordinator is down at the end";
  }
  if (machine->ledger_size() != auditor_.size()) {
    return "the coordinator's ledger is not durable at the end";
  }
  for (const NodeHost& node : nodes_) {
    const std::string name = node.id().name;
    if (node.machine() == nullptr || !node.machine()->is_joined()) {
      return name + " has not joined at the end";
    }
    if (node.machine()->head().size != auditor_.size()) {
      return name + " has " + std::to_string(node.machine()->head().size) + " of " +
             std::to_string(auditor_.size()) + " entries at the end";
    }
    if (node.running() != 0) {
      return name + " still runs " + std::to_string(node.running()) + " branches at the end";
    }
  }
  if (machine->membership().free_slots() != machine->membership().total_slots()) {
    return "the coordinator counts " + std::to_string(machine->membership().free_slots()) + " of " +
           std::to_string(machine->membership().total_slots()) + " slots as free at the end";
  }
  const json::Value status = machine->status("operator");
  if (const double open = *status.find("sessions")->find("open")->number(); open > 0) {
    return std::to_string(static_cast<std::uint64_t>(open)) + " sessions are open at the end";
  }
  const json::Value& effects = *status.find("effects");
  if (*effects.find("waiting")->number() + *effects.find("running")->number() +
          *effects.find("parked")->number() >
      0) {
    return "effects wait at the end";
  }
  return std::nullopt;
}

/// Everything has come to rest.
void Cluster::finish() {
  auditor_.finish(coordinator_.machine()->epoch());
  const auto serial = run_serially(auditor_.committed(), catalog_, key_);
  if (!serial) {
    time_.violate(Rule::serial_equivalence, serial.error().message);
    return;
  }
  serial_ = *serial;
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
  if (has_events(env_.weather)) {
    plan_fault();
  }
  keep_copy();
  if (const double skew = env_.weather.rate(Fault::skewed_clocks); skew > 0) {
    const auto pace = [&] { return 1 - skew + 2 * skew * prng_.unit(); };
    coordinator_.pace(pace());
    for (NodeHost& node : nodes_) {
      node.pace(pace());
    }
  }
  time_.at(env_.weather.faults_end, [this] { calm_down(); });
  time_.after(look_every, [this] { look_on(); });
  while (!is_over_ && time_.run_next()) {
  }
  SimulationReport report;
  report.violation = time_.violation();
  report.trace_hash = time_.trace_hash();
  Totals& totals = report.totals;
  totals.events = time_.events();
  totals.entries = auditor_.size();
  totals.steps = auditor_.steps();
  const CoordinatorHost::Tally tally = coordinator_.tally();
  totals.hits = tally.hits;
  totals.discards = tally.discards;
  totals.hedges = tally.hedges;
  totals.hedges_won = tally.hedges_won;
  totals.coordinator_crashes = coordinator_.crashes();
  for (const NodeHost& node : nodes_) {
    totals.node_crashes += node.crashes();
  }
  totals.audits = operator_.audits();
  totals.put_back = put_back_;
  totals.serial = serial_;
  totals.imposters = imposters_;
  totals.coverage = coverage_;
  return report;
}

}  // namespace

void Totals::add(const Totals& other) {
  events += other.events;
  steps += other.steps;
  hits += other.hits;
  discards += other.discards;
  entries += other.entries;
  coordinator_crashes += other.coordinator_crashes;
  node_crashes += other.node_crashes;
  audits += other.audits;
  hedges += other.hedges;
  hedges_won += other.hedges_won;
  put_back += other.put_back;
  serial += other.serial;
  imposters += other.imposters;
  coverage.add(other.coverage);
}

SimulationReport simulate(const SimulationSettings& settings) {
  return Cluster(settings).run();
}

}  // namespace forerun::simulation
