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
#include "speculation/catalog.hpp"
#include "speculation/client_api.hpp"
#include "speculation/durable.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

/// A committed step that runs again, for its answer to be compared.
struct Rerun {
  enum class State : std::uint8_t { waiting, running, ended };
  State state = State::waiting;
  Seq seq;
  std::optional<Call> call;    ///< Let go once ended.
  const Task* task = nullptr;  ///< The winner's; borrowed from the catalog.
  std::optional<WorkerId> recorded_by;
  std::string recorded_node;  ///< The name of the node that hosts it; empty when it is not here.
  BranchToken token;          ///< While running.
  std::optional<WorkerId> worker;  ///< Of the latest attempt.
  std::string node;                ///< Its node's name.
  Instant started{};
  std::uint32_t attempts = 0;
  std::optional<Digest> output_hash;  ///< Of what it answered now.
  std::string cause;                  ///< Why there is no answer.
  bool says_nothing = false;  ///< It ended not by its own doing, so nothing follows from it.
  std::optional<Digest> recorded_hash;  ///< Of the committed output.
  std::vector<NodeId> not_on;           ///< Nodes that have answered it already.
  bool is_third = false;                ///< Decides between the recorded answer and another one.
};

/// One audit's record: which nodes were asked and what they said, which steps were drawn and how
/// they ended. It judges nothing: who asked does. Pure.
class Audit {
public:
  static constexpr std::size_t reruns_waiting_max = 64;
  static constexpr std::size_t reads_at_once = 64;
  static constexpr std::uint64_t draws_max = 1'000'000;  ///< Entries looked at for a sample.
  static constexpr std::uint32_t attempts_max = 3;

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
  /// What draw() asked for. A commit is fit whose winner is a deterministic `pure` task that can be
  /// run again, with its call and output at hand.
  void read(const std::vector<StoredEntry>& entries, const Catalog& catalog);

  std::vector<Rerun>& reruns() { return reruns_; }
  Rerun* running(BranchToken token);
  /// There is no node that could decide: it is given up, and nothing follows from that.
  static void give_up(Rerun& rerun);
  /// Its run ended on its worker. An answer that differs from the recorded one asks for a third run
  /// on a node that gave neither. Invalidates references to reruns.
  void settle(Rerun& rerun, const BranchEnded& ended);

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
  const Rerun* third_of(const Rerun& rerun) const;

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
  std::vector<Rerun> reruns_;
  std::size_t sampled_ = 0;  ///< Of reruns_, without third ones.
};

}  // namespace forerun
