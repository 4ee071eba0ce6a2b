#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "simulation/coordinator_host.hpp"
#include "simulation/environment.hpp"

namespace forerun::simulation {

/// Audits the cluster, reads its ledger, sessions, status and effects, and teaches it history from
/// time to time, also while faults strike, and says when an answer is not true.
class Operator {
public:
  Operator(Environment& environment, CoordinatorHost& coordinator, PublicKey key, std::size_t nodes)
      : env_(environment), coordinator_(coordinator), key_(std::move(key)), nodes_(nodes) {}

  void start() { plan(); }
  /// Asks nothing more, but that parked effects are tried again.
  void stop() { is_stopped_ = true; }
  void go_on() { is_stopped_ = false; }
  /// False when the response belongs to somebody else.
  bool receive(const ClientResponse& response);
  /// Audits that were answered with a report.
  std::uint64_t audits() const { return audits_; }

private:
  /// A request that was sent, and what was true then.
  struct Asked {
    decltype(ClientRequest::body) body;
    std::vector<HistoryEntry> taught;  ///< In the order of their numbers.
    std::uint64_t redriven = 0;        ///< How often the effect was parked no more.
    std::set<EffectId> waited{};       ///< Effects that were durable when it asked last.
  };
  void plan();
  void ask();
  void ask(decltype(ClientRequest::body) body, std::string tenant);
  void ask_of_session();
  void ask_of_effects();
  void ask_of_history();
  std::vector<HistoryEntry> taught() const;
  void judge(const Asked& asked, const json::Value& report);
  void judge(const Asked& asked, const RequestFailed& failed);
  void judge_audit(const json::Value& report);
  void judge_learned(const Asked& asked, const LearnHistory& body, const json::Value& report);
  void judge_forgotten(const Asked& asked, const json::Value& report);
  void judge_changed(const Asked& asked, const ChangeEffects& body, const json::Value& report);
  void fail(Rule rule, const std::string& what) { env_.time.violate(rule, "operator: " + what); }

  Environment& env_;
  CoordinatorHost& coordinator_;
  PublicKey key_;
  std::size_t nodes_;
  std::map<RequestId, Asked> asked_;
  std::optional<RequestId> history_;  ///< One at a time, so that what it must change is known.
  std::vector<EffectId> parked_;      ///< As they were shown last.
  std::set<EffectId> waited_;         ///< Effects that were durable when it asked last.
  std::uint64_t requests_ = 0;
  std::uint64_t audits_ = 0;
  bool is_stopped_ = false;
};

}  // namespace forerun::simulation
