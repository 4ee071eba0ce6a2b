#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/audit_actor.hpp"
#include "actors/node_actor.hpp"
#include "actors/replica_actor.hpp"
#include "actors/worker_actor.hpp"
#include "simulation/host.hpp"
#include "simulation/network.hpp"
#include "simulation/stage.hpp"
#include "storage/memory_store.hpp"

namespace forerun::simulation {

/// A node's process: the real actors and brain, its disk, and simulated runs of branches.
class NodeHost : public Host {
public:
  struct Identity {
    std::size_t index = 0;
    PublicKey ledger_key;
    std::vector<WorkerId> workers;
    std::uint32_t slots = 1;
    int slowness = 1;   ///< Its runs take so many times as long.
    bool lies = false;  ///< When it runs again what another node has answered.
  };
  NodeHost(Environment& environment, Network& network, Identity identity);
  ~NodeHost() override;
  NodeHost(const NodeHost&) = delete;
  NodeHost& operator=(const NodeHost&) = delete;

  void start();
  /// Ends at once, with all that runs; what the disk had not synced is gone. Starts again later.
  void crash();
  void receive(const CoordinatorMessage& message);
  void jump_ahead(Duration ahead);
  void pace(double rate);
  /// The replica's file is synced, as by a checkpoint.
  void sync_replica() { replica_.sync(); }
  /// The next write of replica or marks fails; the process ends with it.
  void fail_next_write(FailedWrite outcome);
  /// Every write fails until then, also of the processes that follow.
  void fill_disk(Duration length) { full_until_ = env_.time.now() + length; }
  /// What its workers start meanwhile never ends by itself.
  void stop_workers(Duration length) { dead_until_ = env_.time.now() + length; }

  const NodeMachine* machine() const { return machine_.get(); }
  std::size_t running() const { return running_.size(); }
  NodeId id() const { return NodeId{"node-" + std::to_string(identity_.index)}; }
  std::uint64_t crashes() const { return crashes_; }

private:
  struct Running {
    Dispatch dispatch;
    Instant started{};
    std::optional<Result<std::string>> answer;
    RunDone done;
  };
  class Task;
  void end_actors();
  void step(const NodeInput& input);
  void run() override;
  NodePorts node_ports();
  ReplicaPorts replica_ports();
  AuditPorts audit_ports();
  bool is_disk_full() const { return env_.time.now() < full_until_; }
  WriteFault write_fault() const;
  Result<void> write(const ReplicaBatch& batch);
  Result<void> write_marks(std::span<const MarkRow> marks);
  void marks_persisted(const std::vector<MarkRow>& marks);
  std::unique_ptr<RunningTask> begin(const Dispatch& dispatch, RunDone done);
  void touch_outside(const Dispatch& dispatch);
  void end(BranchToken token, Ending ending, const std::string& cause);
  void return_answer(BranchToken token);
  void stop_for(const Error& error);
  std::string name() const { return "node " + std::to_string(identity_.index); }

  Network& network_;
  Identity identity_;
  MemoryReplicaStore replica_;
  MemoryIdentityStore marks_;
  std::shared_ptr<NodeMachine> machine_;
  std::unique_ptr<Stage> stage_;
  NodeActor node_;
  ReplicaActor stores_;
  AuditActor auditor_;
  std::map<BranchToken, Running> running_;
  std::size_t marks_unwritten_ = 0;
  std::size_t marks_unreported_ = 0;
  std::optional<FailedWrite> failure_;
  Instant full_until_{};
  Instant dead_until_{};
  std::uint64_t crashes_ = 0;
};

}  // namespace forerun::simulation
