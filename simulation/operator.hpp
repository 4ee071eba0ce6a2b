#pragma once

#include <cstdint>

#include "simulation/coordinator_host.hpp"
#include "simulation/environment.hpp"

namespace forerun::simulation {

/// Audits the cluster and reads its ledger from time to time, also while faults strike, and says
/// when an answer is not true: nothing is wrong with this cluster's replicas, steps or ledger.
class Operator {
public:
  Operator(Environment& environment, CoordinatorHost& coordinator)
      : env_(environment), coordinator_(coordinator) {}

  void start() { plan(); }
  /// Asks nothing more.
  void stop() { is_stopped_ = true; }
  /// False when the response belongs to somebody else.
  bool receive(const ClientResponse& response);
  /// Audits that were answered with a report.
  std::uint64_t audits() const { return audits_; }

private:
  void plan();
  void ask();
  void judge(const json::Value& report);

  Environment& env_;
  CoordinatorHost& coordinator_;
  std::uint64_t requests_ = 0;
  std::uint64_t audits_ = 0;
  bool is_stopped_ = false;
};

}  // namespace forerun::simulation
