#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/prng.hpp"
#include "coordinator/membership.hpp"
#include "coordinator/reruns.hpp"
#include "speculation/catalog.hpp"
#include "speculation/client_api.hpp"
#include "speculation/durable.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

/// One audit's record: which nodes were asked and what they said, which steps were drawn and how
/// they ended. It judges nothing: who asked does. Pure.
class Audit {
public:
  static constexpr std::size_t reruns_waiting_max = 64;
  static constexpr std::size_t reads_at_once = 64;
  static constexpr std::uint64_t draws_max = 1'000'000;  ///< Entries looked at for a sample.

  Audit(AuditNumber number, RequestId request, StartAudit body, SignedHead head, Instant now);

  AuditNumber number() const { return number_; }
  RequestId request() const { return request_; }
  Instant deadline() const { return deadline_; }
  const std::vector<std::uint64_t>& sizes() const { return sizes_; }

  void asked(const NodeSeat& seat);
  bool awaits(const NodeId& node) const;
  void answered(const NodeId& node, const ReplicaAudited& answer);
  void lost(const NodeId& node, const std::string& why);

  /// Entries to read next for the sample, in a seeded order without repetition; empty when none are
  /// wanted now. Each call must be followed by read() before the next.
  std::vector<Seq> draw();
  /// What draw() asked for. A commit is fit whose winner, or whose only branch if it ended with an
  /// exit code, is a deterministic `pure` task that can be run again, with its call and output at
  /// hand.
  void read(const std::vector<StoredEntry>& entries, const Catalog& catalog);

  Reruns& reruns() { return reruns_; }

  bool is_done() const;
  /// docs/http.md. `not_answered` names what a node that has not answered is said to have done.
  json::Value report(const std::string& not_answered) const;

private:
  struct Asked {
    std::string name;
    std::optional<ReplicaAudited> answer;
    std::string lost;
  };
  bool wants_more() const;
  void take(const StoredEntry& entry, const Catalog& catalog);

  AuditNumber number_;
  RequestId request_;
  StartAudit body_;
  SignedHead head_;
  Instant deadline_;
  std::vector<std::uint64_t> sizes_;
  std::map<NodeId, Asked> nodes_;
  Prng prng_;
  std::map<std::uint64_t, std::uint64_t> swapped_;  ///< A sparse Fisher-Yates shuffle's exchanges.
  std::uint64_t drawn_ = 0;
  bool is_reading_ = false;
  Reruns reruns_;
  std::size_t sampled_ = 0;  ///< Of reruns_, without third ones.
};

}  // namespace forerun
