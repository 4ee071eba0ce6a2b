#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/machine.hpp"
#include "files/recorded_world.hpp"

namespace forerun {

/// What the cluster itself costs, as `forerun bench` measures it.
struct ClusterCosts {
  Duration dispatch{};  ///< From a decision to start a branch until it runs, and back.
  Duration hit{};       ///< To answer from a finished speculation.
  Duration kill{};      ///< From a cancellation until the slot is free.
};

/// The real brain of a coordinator with one node of simulated slots, in virtual time, in the
/// caller's thread. A recorded world answers. Nothing is written; durability takes no time.
class VirtualCluster {
public:
  VirtualCluster(CoordinatorSettings settings, std::unique_ptr<Predictor> predictor,
                 const RecordedWorld& world, std::uint32_t slots, ClusterCosts costs);
  VirtualCluster(const VirtualCluster&) = delete;
  VirtualCluster& operator=(const VirtualCluster&) = delete;

  Instant now() const { return now_; }
  void after(Duration delay, std::function<void()> happen);
  /// The answer comes in a later event.
  void ask(std::string tenant, decltype(ClientRequest::body) body,
           std::function<void(const ResponseBody&)> answer);
  /// Runs events until none is left, or `done` says so.
  void run(const std::function<bool()>& done);

  const CoordinatorMachine& machine() const { return *machine_; }
  /// As of the machine. Not from within its own step.
  void restart_budget() { machine_->restart_budget(); }

private:
  void step(const CoordinatorInput& input);
  void perform(CoordinatorOutput output);
  void serve(const CoordinatorMessage& message);
  void begin(const Dispatch& dispatch);

  std::unique_ptr<CoordinatorMachine> machine_;
  const RecordedWorld& world_;
  ClusterCosts costs_;
  Instant now_ = Instant{} + std::chrono::seconds(1);
  std::uint64_t order_ = 0;
  std::map<std::pair<Instant, std::uint64_t>, std::function<void()>> events_;
  std::map<BranchToken, std::uint64_t> running_;  ///< With the number of the run.
  std::uint64_t runs_ = 0;
  std::uint64_t requests_ = 0;
  std::map<std::uint64_t, std::function<void(const ResponseBody&)>> waiting_;
  std::optional<Instant> armed_;
  bool is_ahead_due_ = false;
  std::string node_ = "virtual";
};

}  // namespace forerun
