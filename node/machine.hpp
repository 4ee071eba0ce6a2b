#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "node/divergence.hpp"
#include "node/replica_audit.hpp"
#include "speculation/durable.hpp"
#include "speculation/ledger_checker.hpp"
#include "speculation/protocol.hpp"
#include "speculation/run_id_hash.hpp"

namespace forerun {

struct NodeSettings {
  std::string name;
  std::string version;
  std::uint64_t instance = 0;        ///< Random, one a process start.
  std::vector<WorkerOffer> workers;  ///< From the data directory.
  Duration heartbeat = std::chrono::milliseconds(250);
  Duration join_retry = std::chrono::milliseconds(500);
  Duration fetch_retry = std::chrono::milliseconds(500);
};

/// A branch that a worker must run.
struct StartBranch {
  Dispatch dispatch;
};
/// A branch that must stop; its worker answers with BranchFinished.
struct StopBranch {
  BranchToken token;
  WorkerId worker;
};
/// A running speculation became confirmed work: its deadline is this far from now.
struct ConfirmRun {
  BranchToken token;
  WorkerId worker;
  Duration timeout{};
};
/// A branch ended on its worker (by itself or stopped).
struct BranchFinished {
  BranchEnded ended;
};
struct MarkPersisted {
  WorkerId worker;
  std::uint64_t mark = 0;
};
/// Read this page of the replica's store and give it back as ReplicaEntries.
struct ReplicaPageOrder {
  Seq from;
  std::optional<SignedHead> head;  ///< Goes with it.
};
/// ReplicaAudited, ReplicaEntries: what NodeOutput::audit and ::page asked for is done.
using NodeInput = std::variant<TimePassed, CoordinatorMessage, BranchFinished, MarkPersisted,
                               ReplicaAudited, ReplicaEntries>;

/// What the shell must do, in this order.
struct NodeOutput {
  std::optional<ReplicaBatch> persist;  ///< Not waited for.
  std::vector<MarkRow> marks;  ///< Make durable with a full sync, then MarkPersisted for each.
  std::vector<NodeMessage> send;
  std::optional<std::uint32_t> subscribe;  ///< Connect the subscription to this port.
  std::optional<std::string>
      catalog;  ///< A new catalog: give it to the workers before what starts below.
  std::vector<StartBranch> start;
  std::vector<ConfirmRun> confirm;
  std::vector<StopBranch> stop;
  std::vector<BranchToken>
      destroyed;  ///< Isolated states that are gone now, committed or discarded.
  std::optional<ReplicaAuditOrder>
      audit;  ///< Read the store again, apart from this brain and after `persist`.
  std::optional<ReplicaPageOrder> page;  ///< After `persist`.
  std::vector<std::string> alerts;       ///< For the operator's log.
  std::optional<Divergence> diverged;    ///< Keep it for good; `fatal` goes with it.
  std::optional<Error>
      fatal;  ///< The node must end: refused, or (verification) its ledger diverged.
  std::optional<Instant> wake_at;  ///< Ask again then, with TimePassed.
};

/// The brain of a node: joins, follows and re-checks the ledger, hands branches to workers and
/// releases or destroys them as the ledger says. Pure: no clock, socket, file, thread or actor. Not
/// thread-safe.
class NodeMachine {
public:
  /// `verified` is the latest signed head that the replica was kept with.
  NodeMachine(NodeSettings settings, LedgerChecker replica, Epoch epoch_accepted,
              std::optional<SignedHead> verified = {});
  NodeOutput step(Instant now, NodeInput input);
  /// Inputs that arrived together, in order: one output, and so at most one batch to persist and
  /// one list to send.
  NodeOutput step(Instant now, std::vector<NodeInput> inputs);

  LedgerHead head() const { return checker_.head(); }
  bool is_joined() const { return joined_; }

private:
  struct Branch {
    Dispatch dispatch;  ///< Without its texts once it is launched: they go with the run.
    enum class State : std::uint8_t {
      waiting,  ///< For a slot that is being freed.
      running,
      stopping,
      finished,
    } state = State::running;
    Instant cancelled_at{};
    std::optional<Instant> deadline;    ///< While running.
    std::optional<BranchEnded> result;  ///< While finished; sent again on request.
    std::optional<Ending> forced;       ///< Why we stopped it ourselves.
  };
  void on(Instant now, const TimePassed&, NodeOutput& out);
  void on(Instant now, CoordinatorMessage& message, NodeOutput& out);
  void on(Instant now, BranchFinished& finished, NodeOutput& out);
  void on(Instant now, const MarkPersisted& persisted, NodeOutput& out);
  void on(Instant now, ReplicaAudited& audited, NodeOutput& out);
  void on(Instant now, ReplicaEntries& page, NodeOutput& out);
  void take(Instant now, NodeInput& input, NodeOutput& out);
  void handle(Instant now, const Welcome& message, NodeOutput& out);
  void handle(Instant now, const JoinRefused& message, NodeOutput& out);
  void handle(Instant now, const JoinAgain& message, NodeOutput& out);
  void handle(Instant now, Dispatch& message, NodeOutput& out);
  void handle(Instant now, const ConfirmBranch& message, NodeOutput& out);
  void handle(Instant now, const CancelBranch& message, NodeOutput& out);
  void handle(Instant now, const ResendResult& message, NodeOutput& out);
  void handle(Instant now, const ReserveRunIds& message, NodeOutput& out);
  void handle(Instant now, Entries& message, NodeOutput& out);
  void handle(Instant now, const AuditReplica& message, NodeOutput& out);
  void handle(Instant now, const FetchReplica& message, NodeOutput& out);
  void audit_if_reached(NodeOutput& out);
  void follow(Instant now, Entries& entries, NodeOutput& out);
  void settle_by_entry(Instant now, const Entry& entry, NodeOutput& out);
  void drop_other_epochs(Instant now, NodeOutput& out);
  void fetch(Instant now, NodeOutput& out);
  void launch(Instant now, Branch& branch, NodeOutput& out);
  void launch_waiting(Instant now, const WorkerId& worker, NodeOutput& out);
  void stop(Instant now, Branch& branch, Ending why, NodeOutput& out);
  void forget(std::map<BranchToken, Branch>::iterator at, NodeOutput& out);
  void check_head(const SignedHead& head, NodeOutput& out);
  void destroy(Instant now, std::map<BranchToken, Branch>::iterator at, NodeOutput& out);
  void diverge(const std::string& why, const std::string& entry, NodeOutput& out);
  void send_join(Instant now, NodeOutput& out);
  void send_heartbeat(Instant now, NodeOutput& out);
  std::optional<Instant> next_wake() const;

  NodeSettings settings_;
  LedgerChecker checker_;
  Epoch epoch_;  ///< Highest accepted, of Welcome or entries.
  bool joined_ = false;
  bool stopped_ = false;                     ///< Diverged or refused.
  std::string refused_for_;                  ///< As it was told last.
  std::map<BranchToken, Branch> branches_;   ///< Of the current epoch.
  std::optional<BranchToken> latest_token_;  ///< Of all dispatches.
  std::size_t waiting_ = 0;                  ///< Branches without a slot yet.
  std::unordered_map<RunId, std::vector<BranchToken>, RunIdHash> by_run_;  ///< Looked up only.
  std::map<WorkerId, std::uint32_t> busy_;
  std::optional<Instant> join_sent_;
  std::optional<Instant> heartbeat_sent_;
  std::optional<Instant> fetch_sent_;
  std::optional<AuditReplica> pending_audit_;  ///< Waits for the sizes that it asks for.
  std::uint64_t fetch_target_ = 0;             ///< Size that we know the coordinator has reached.
  std::optional<SignedHead> pending_head_;     ///< Signed, of a size not reached yet.
  std::optional<SignedHead> verified_head_;    ///< Signed, and the replica's own.
  std::optional<SignedHead> heard_head_;       ///< The coordinator's latest, whatever it is worth.
};

}  // namespace forerun
