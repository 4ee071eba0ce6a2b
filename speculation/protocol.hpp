#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "speculation/entry.hpp"
#include "speculation/ids.hpp"
#include "speculation/session_state.hpp"

/// What travels between coordinator and nodes: one plain struct a message. docs/protocol.md tells
/// the order. Texts named `call`, `output`, `state`, `writes`, `effects` are canonical JSON.
namespace forerun {

inline constexpr std::uint32_t protocol_version = 1;
inline constexpr std::size_t frame_bytes_max = 8U << 20U;  ///< One frame: a list of messages.
inline constexpr std::size_t frame_messages_max = 1024;
inline constexpr std::size_t messages_per_frame =
    64;  ///< What a sender puts into one; large outputs go alone.
inline constexpr std::size_t output_bytes_max = 1U << 20U;     ///< One branch's output.
inline constexpr std::size_t effects_bytes_max = 256U << 10U;  ///< One branch's effects.
inline constexpr std::size_t workers_per_node_max = 256;
inline constexpr std::size_t slots_per_worker_max = 1024;
inline constexpr std::size_t fetch_entries_max = 512;  ///< Entries in one answer to a fetch.
inline constexpr std::size_t cause_bytes_max = 512;    ///< A cause is cut to this.
inline constexpr const char* timed_out_cause = "timed out after ";  ///< How such a cause begins.
inline constexpr std::size_t audit_sizes_max = 64;  ///< Roots in one answer to an audit.

/// Where a branch stands for a recorded world (design.md §7); absent for every other executor.
struct WorldPosition {
  std::string session;                ///< The recorded session's name.
  std::uint32_t committed = 0;        ///< Steps committed when the branch started.
  std::optional<std::uint32_t> step;  ///< The confirmed step's number; empty for a speculation.
  friend bool operator==(const WorldPosition&, const WorldPosition&) = default;
};

/// Whom a branch works for: an entry of the ledger that names it ends the branch. Never shown to
/// the task.
struct BranchOwner {
  RunId run_id;
  std::optional<StepNumber> step;                ///< Set once confirmed.
  std::optional<SpeculationNumber> speculation;  ///< Set when it began as a speculation.
  std::optional<AuditNumber> audit;  ///< Set alone: it belongs to no session, CancelBranch ends it.
  bool effect = false;  ///< Set alone: it delivers an effect of a committed step; as with `audit`.
  friend bool operator==(const BranchOwner&, const BranchOwner&) = default;
};

// ---- both ways
// -------------------------------------------------------------------------------------------

struct EntryRecord {
  std::string leaf;
  std::string call;  ///< C(call) of a commit; empty for other kinds and where it was erased.
  friend bool operator==(const EntryRecord&, const EntryRecord&) = default;
};

/// Decisions in order, published to all or sent to the node that fetched them.
struct Entries {
  Seq first;
  std::vector<EntryRecord> records;
  std::optional<SignedHead> head;  ///< Of a size at or below first + records.
  friend bool operator==(const Entries&, const Entries&) = default;
};

// ---- node to coordinator
// -------------------------------------------------------------------------------------------

struct WorkerOffer {
  WorkerId worker;
  std::uint32_t slots = 1;
  std::uint64_t run_mark = 0;  ///< Highest run-ID counter durable at this worker.
  friend bool operator==(const WorkerOffer&, const WorkerOffer&) = default;
};

/// First message of a connection, and again whenever the coordinator asks.
struct Join {
  std::uint32_t protocol = protocol_version;
  std::string version;         ///< Of the program, for people.
  std::string name;            ///< Chosen by the operator, for people.
  std::uint64_t instance = 0;  ///< Random, one a process start: tells a reconnect from a copy.
  std::vector<WorkerOffer> workers;
  LedgerHead head;                        ///< Of the verified replica.
  Epoch epoch;                            ///< Highest accepted.
  std::optional<SignedHead> signed_head;  ///< The latest that the replica was verified against.
  friend bool operator==(const Join&, const Join&) = default;
};

/// Sent every heartbeat interval. Lists let the coordinator find what a broken connection
/// swallowed.
struct Heartbeat {
  Epoch epoch;
  LedgerHead head;
  std::vector<BranchToken> running;
  std::vector<BranchToken> finished;  ///< Ended here, their results sent, not yet released.
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

/// How one branch ended, by its own doing or not.
enum class Ending : std::uint8_t {
  returned,   ///< `output` is its answer.
  failed,     ///< Its own doing: exit code, malformed or too large output, a thrown error. `cause`
              ///< says which.
  timed_out,  ///< Its deadline, counted from its confirmation, passed.
  expired,    ///< Its deadline passed while it was still speculative; says nothing about its
              ///< validity.
  cancelled,  ///< Ended by CancelBranch; its slot is free.
  lost,  ///< Not its doing: the worker crashed or refused for want of a slot. It may run elsewhere.
};

struct BranchEnded {
  Epoch epoch;
  BranchToken token;
  Ending ending = Ending::returned;
  std::string output;      ///< With `returned`.
  std::string writes;      ///< Merge patch (RFC 7396) or empty.
  std::string effects;     ///< List or empty.
  std::string cause;       ///< With every other ending; at most cause_bytes_max.
  Duration latency{};      ///< From start to end of the run on its worker.
  Duration freed_after{};  ///< With `cancelled`: from the cancel's arrival until the slot was free.
  std::uint32_t dead_handles = 0;
  friend bool operator==(const BranchEnded&, const BranchEnded&) = default;
};

struct FetchEntries {
  Seq from;
  friend bool operator==(const FetchEntries&, const FetchEntries&) = default;
};

/// The worker's mark is durable on its node: counters up to it may be used.
struct MarkStored {
  WorkerId worker;
  std::uint64_t mark = 0;
  friend bool operator==(const MarkStored&, const MarkStored&) = default;
};

/// The replica cannot follow the coordinator's ledger; the node has stopped taking work and keeps
/// both heads.
struct Diverged {
  LedgerHead own;
  LedgerHead coordinator;
  std::string why;
  friend bool operator==(const Diverged&, const Diverged&) = default;
};

/// What a node's store holds, read again from the first entry on and checked entry by entry.
struct ReplicaAudited {
  Epoch epoch;
  AuditNumber audit;
  LedgerHead head;                        ///< Of what was read and holds; up to a problem, if any.
  std::optional<SignedHead> signed_head;  ///< The latest that the node verified and stored.
  std::vector<Digest> roots;              ///< Of the sizes asked for, as far as `head` goes.
  std::uint64_t recomputed = 0;           ///< As CheckCounts.
  std::uint64_t not_recomputed = 0;
  std::string problem;  ///< "entry N: field: found …, expected …"; empty when all holds.
  friend bool operator==(const ReplicaAudited&, const ReplicaAudited&) = default;
};

/// Entries of the replica as its store holds them, with the latest signed head that was verified.
struct ReplicaEntries {
  Entries entries;
  friend bool operator==(const ReplicaEntries&, const ReplicaEntries&) = default;
};

using NodeMessage = std::variant<Join, Heartbeat, BranchEnded, FetchEntries, MarkStored, Diverged,
                                 ReplicaAudited, ReplicaEntries>;

// ---- coordinator to node
// -------------------------------------------------------------------------------------------

struct Welcome {
  Epoch epoch;
  std::string version;
  std::uint32_t publish_port = 0;  ///< Of the PUB socket, on the host that the node joined.
  std::string catalog;             ///< Catalog::to_json(), canonical.
  SignedHead head;
  friend bool operator==(const Welcome&, const Welcome&) = default;
};

/// The node must not serve. `is_final`: do not try again without an operator.
struct JoinRefused {
  std::string why;
  bool is_final = true;
  friend bool operator==(const JoinRefused&, const JoinRefused&) = default;
};

/// The coordinator does not know this connection (new term, or a cut was healed): send Join.
struct JoinAgain {
  Epoch epoch;
  friend bool operator==(const JoinAgain&, const JoinAgain&) = default;
};

struct Dispatch {
  Epoch epoch;
  BranchToken token;
  WorkerId worker;
  BranchOwner owner;
  std::string task;   ///< The branch's task, not the race's name.
  std::string input;  ///< Canonical JSON object.
  std::string state;  ///< Snapshot of the session's state, canonical.
  bool speculative = false;
  Duration timeout{};
  std::string outside_key;  ///< hex(Sk) for a `write`, effect_key() of an effect, else empty.
  std::optional<WorldPosition> world;
  std::string http{};    ///< An effect that is a request, canonical; `task` is empty then.
  std::string tenant{};  ///< Whose work it is: tenants share no resident process.
  friend bool operator==(const Dispatch&, const Dispatch&) = default;
};

/// A running speculation became confirmed work: its deadline counts from now.
struct ConfirmBranch {
  Epoch epoch;
  BranchToken token;
  StepNumber step;
  Duration timeout{};
  friend bool operator==(const ConfirmBranch&, const ConfirmBranch&) = default;
};

/// Stop it, free its slot, answer with BranchEnded{cancelled}. Unknown or ended tokens are ignored;
/// a finished one is forgotten.
struct CancelBranch {
  Epoch epoch;
  BranchToken token;
  friend bool operator==(const CancelBranch&, const CancelBranch&) = default;
};

/// Send a finished branch's result again.
struct ResendResult {
  Epoch epoch;
  BranchToken token;
  friend bool operator==(const ResendResult&, const ResendResult&) = default;
};

/// Make the mark durable, then answer MarkStored. A mark never falls.
struct ReserveRunIds {
  WorkerId worker;
  std::uint64_t mark = 0;
  friend bool operator==(const ReserveRunIds&, const ReserveRunIds&) = default;
};

/// Read the whole replica again from its store, check it, and answer with ReplicaAudited as soon as
/// it holds the largest of these sizes.
struct AuditReplica {
  Epoch epoch;
  AuditNumber audit;
  std::vector<std::uint64_t> sizes;  ///< Rising; at most audit_sizes_max.
  friend bool operator==(const AuditReplica&, const AuditReplica&) = default;
};

/// Before a term: send what the replica holds from here on. At most one page comes back
/// (ReplicaEntries), and an empty one when it ends here.
struct FetchReplica {
  Seq from;
  friend bool operator==(const FetchReplica&, const FetchReplica&) = default;
};

using CoordinatorMessage =
    std::variant<Welcome, JoinRefused, JoinAgain, Dispatch, ConfirmBranch, CancelBranch,
                 ResendResult, ReserveRunIds, Entries, AuditReplica, FetchReplica>;

}  // namespace forerun
