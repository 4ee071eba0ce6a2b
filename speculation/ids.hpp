#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/strong_id.hpp"
#include "base/uuid.hpp"

namespace forerun {

/// A worker's persistent identity: lives in its node's data directory, names a run-ID namespace.
struct WorkerId {
  Uuid uuid;
  friend auto operator<=>(const WorkerId&, const WorkerId&) = default;
};
std::string to_string(const WorkerId& worker);

/// A node's identity: the fingerprint of the key it authenticates with, so a peer cannot choose it.
struct NodeId {
  std::string name;
  friend auto operator<=>(const NodeId&, const NodeId&) = default;
};

/// `<namespace>/<counter>` (design: "Run ID"). Never reused.
struct RunId {
  WorkerId home;
  std::uint64_t counter = 0;
  friend auto operator<=>(const RunId&, const RunId&) = default;

  /// Errors: invalid unless `<lowercase uuid>/<decimal without leading zeros>`.
  static Result<RunId> parse(std::string_view text);
};
std::string to_string(const RunId& run_id);

/// The coordinator's term. Grows at every start.
using Epoch = StrongId<struct EpochTag>;
/// A ledger entry's number, from 0.
using Seq = StrongId<struct SeqTag>;
/// A confirmed step's number in its session, from 0.
using StepNumber = StrongId<struct StepTag, std::uint32_t>;
/// A speculation's number within run ID and epoch, from 0.
using SpeculationNumber = StrongId<struct SpeculationTag, std::uint32_t>;
/// One dispatch of one branch to one worker. Unique within an epoch; the wire carries both.
using BranchToken = StrongId<struct BranchTokenTag>;
/// One audit that the coordinator runs, within an epoch.
using AuditNumber = StrongId<struct AuditTag>;
/// One client request, named by the gateway that awaits its reply.
using RequestId = StrongId<struct RequestTag>;
/// One batch given to the store; rises by one.
using BatchNumber = StrongId<struct BatchTag>;
/// One authenticated connection of a peer, named by the bus; never reused in a process's life.
using ConnectionId = StrongId<struct ConnectionTag>;

}  // namespace forerun
