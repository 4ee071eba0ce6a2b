#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "actors/coordinator_actor.hpp"
#include "actors/ledger_actor.hpp"
#include "actors/reader_actor.hpp"
#include "simulation/host.hpp"
#include "simulation/network.hpp"
#include "simulation/stage.hpp"
#include "storage/memory_store.hpp"

namespace forerun::simulation {

/// Kept at once; the oldest go first.
inline constexpr std::size_t taught_sessions_max = 3;

/// The coordinator's process: the real actors and brain on a simulated disk. It may end at any
/// moment and start again.
class CoordinatorHost : public Host {
public:
  /// `race` is the race that all sessions of this seed call.
  CoordinatorHost(Environment& environment, Network& network, SigningKey key, std::string race);
  /// Where responses go, and who is told that all connections are gone.
  void serve(std::function<void(const ClientResponse&)> reply, std::function<void()> went_down) {
    reply_ = std::move(reply);
    went_down_ = std::move(went_down);
  }

  /// An operator puts this older copy of the store back and starts the coordinator with it, again
  /// until it adopts all entries that were durable before. After many tries it is the newer store
  /// again. `done` hears which of them it is, before anything else becomes durable.
  void put_back(MemoryCoordinatorStore older, std::function<void(bool is_older)> done);
  bool is_putting_back() const { return older_.has_value(); }
  /// The one node that lies; no other may be quarantined.
  void expect_liar(NodeId node) { liar_ = std::move(node); }

  void start();
  void crash();
  /// Lost when the process is down or ends before it arrives.
  void send(const ClientRequest& request);
  void leave(RequestId request);
  /// It is on its way, or may still be answered.
  bool is_open(RequestId request) const { return open_.contains(request); }
  void step(const CoordinatorInput& input);
  void jump_ahead(Duration ahead);
  void pace(double rate);
  /// The next write fails; the process ends with it.
  void fail_next_write(FailedWrite outcome) {
    store_.fail_next_write(outcome);
    failure_ = outcome;
  }
  /// Every write fails until then, also of the processes that follow.
  void fill_disk(Duration length) { full_until_ = env_.time.now() + length; }

  const CoordinatorMachine* machine() const { return machine_.get(); }
  MemoryCoordinatorStore& store() { return store_; }
  /// Whether the store says which key this worker belongs to.
  bool has_kept_owner(const WorkerId& worker) const { return kept_owners_.contains(worker); }
  std::uint64_t crashes() const { return crashes_; }
  /// Over all terms.
  struct Tally {
    std::uint64_t hits = 0;
    std::uint64_t discards = 0;
    std::uint64_t hedges = 0;
    std::uint64_t hedges_won = 0;
  };
  Tally tally() const;

private:
  CoordinatorPorts coordinator_ports();
  LedgerPorts ledger_ports();
  ReaderPorts reader_ports();
  void give(CoordinatorInput input);
  void run() override;
  void send(ConnectionId connection, std::vector<CoordinatorMessage> messages);
  void note(const std::string& line);
  void persist(CoordinatorBatch batch);
  void flush();
  bool is_whole(const CoordinatorBatch& batch) const;
  void fail_if_rare(std::span<const CoordinatorBatch> batches);
  Result<void> write(std::span<const CoordinatorBatch> batches);
  void failed(std::span<const CoordinatorBatch> batches, const Error& error);
  void persisted(BatchNumber last);
  void reply(const ClientResponse& response);
  void check_waste();
  static void count(const CoordinatorMachine& machine, Tally& tally);
  std::unique_ptr<Predictor> make_predictor() const;

  Network& network_;
  SigningKey key_;
  std::string race_;
  CoordinatorSettings settings_;
  bool guesses_ = false;
  MemoryCoordinatorStore store_;
  std::shared_ptr<CoordinatorMachine> machine_;
  std::unique_ptr<Stage> stage_;
  CoordinatorActor coordinator_;
  LedgerActor ledger_;
  ReaderActor reader_;
  std::function<void(const ClientResponse&)> reply_;
  std::function<void()> went_down_;
  std::vector<CoordinatorBatch> waiting_;     ///< For the disk.
  std::vector<CoordinatorBatch> unreported_;  ///< Durable; the brain has not heard so.
  std::map<RequestId, ClientRequest> unanswered_;
  std::map<RequestId, bool> open_;  ///< Whether they have arrived.
  bool is_flushing_ = false;
  struct Older {
    MemoryCoordinatorStore store;
    MemoryCoordinatorStore newer;
    std::uint64_t size = 0;  ///< Of the newer one.
    std::function<void(bool)> done;
    std::uint32_t tries = 0;
  };
  std::optional<Older> older_;
  std::optional<NodeId> liar_;
  std::optional<FailedWrite> failure_;
  Instant full_until_{};
  std::set<WorkerId> kept_owners_;
  std::uint64_t crashes_ = 0;
  Tally tally_;  ///< Of terms that ended.
  // Of this term, for the bound on waste.
  Instant stepped_{};
  std::uint64_t slots_max_ = 0;
  Duration charged_at_once_{};
};

}  // namespace forerun::simulation
