#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/machine.hpp"
#include "simulation/environment.hpp"
#include "simulation/network.hpp"

namespace forerun::simulation {

/// A node's process: the real brain, its disk, and simulated workers.
class NodeHost {
public:
  struct Identity {
    std::size_t index = 0;
    PublicKey ledger_key;
    std::vector<WorkerId> workers;
    std::uint32_t slots = 1;
    int slowness = 1;  ///< Its runs take so many times as long.
  };
  NodeHost(Environment& environment, Network& network, Identity identity);

  void start();
  /// Ends at once, with all that runs; what the disk had not synced is gone. Starts again later.
  void crash();
  bool is_up() const { return machine_ != nullptr; }
  void receive(const CoordinatorMessage& message);
  /// The replica's file is synced, as by a checkpoint.
  void sync_replica() { replica_.sync(); }

  const NodeMachine* machine() const { return machine_.get(); }
  std::size_t running() const { return running_.size(); }
  NodeId id() const { return NodeId{"node-" + std::to_string(identity_.index)}; }
  std::uint64_t crashes() const { return crashes_; }

private:
  struct Running {
    Dispatch dispatch;
    Instant started{};
    std::optional<Result<std::string>> answer;
  };
  void step(const NodeInput& input);
  void perform(NodeOutput output);
  void persist(const ReplicaBatch& batch);
  void persist_marks(const std::vector<MarkRow>& marks);
  void begin(const Dispatch& dispatch);
  void touch_outside(const Dispatch& dispatch);
  void end(BranchToken token, Ending ending, const std::string& cause);
  void return_answer(BranchToken token);
  void arm(std::optional<Instant> wake);
  void later(Duration delay, std::function<void()> happen);
  void stop_for(const Error& error);
  std::string name() const { return "node " + std::to_string(identity_.index); }

  Environment& env_;
  Network& network_;
  Identity identity_;
  MemoryReplicaStore replica_;
  MemoryIdentityStore marks_;
  std::unique_ptr<NodeMachine> machine_;
  std::map<BranchToken, Running> running_;
  std::uint64_t life_ = 0;
  std::uint64_t crashes_ = 0;
  std::optional<Instant> armed_;
};

}  // namespace forerun::simulation
