#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "speculation/catalog.hpp"
#include "speculation/durable.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

/// What a run gave, or a commit records; of a failure nothing.
struct RunAnswer {
  std::optional<Digest> output;
  std::optional<Digest> writes;
  std::optional<Digest> effects;
  friend bool operator==(const RunAnswer&, const RunAnswer&) = default;
};

/// A committed step that runs again, for its answer to be compared.
struct Rerun {
  enum class State : std::uint8_t { waiting, running, ended };
  State state = State::waiting;
  Seq seq;
  std::optional<Call> call;  ///< Let go once ended.
  std::string whose;  ///< Runs of one name may share a resident process with one another alone.
  const Task* task = nullptr;  ///< The winner's; borrowed from the catalog.
  std::optional<WorkerId> recorded_by;
  std::optional<NodeId> recorded_on;  ///< The node that hosts it; empty when it is not here.
  std::string recorded_node;          ///< That one's name.
  BranchToken token;                  ///< While running.
  std::optional<WorkerId> worker;     ///< Of the latest attempt.
  std::optional<NodeId> ran_on;       ///< Its node,
  std::string node;                   ///< and that one's name.
  Instant started{};
  std::uint32_t attempts = 0;
  RunAnswer answer;            ///< Of this run.
  std::string cause;           ///< Why there is no answer.
  bool says_nothing = false;   ///< It ended not by its own doing, so nothing follows from it.
  RunAnswer recorded;          ///< Of the commit.
  std::vector<NodeId> not_on;  ///< Nodes that have answered it already.
  bool is_third = false;       ///< Decides between the recorded answer and another one.
};

/// Whether a committed answer of this task follows from the call alone and can be had again.
/// `has_state`: the step was given a session's state, which is not kept. A recorded world answers
/// from a session's place in it, which a run beside every session has not.
bool may_be_rerun(const Task& task, bool has_state);

/// Steps that run again, and the third runs that decide where an answer differs. Pure.
class Reruns {
public:
  static constexpr std::uint32_t attempts_max = 3;

  void add(Rerun rerun) { list_.push_back(std::move(rerun)); }
  std::vector<Rerun>& all() { return list_; }
  const std::vector<Rerun>& all() const { return list_; }
  Rerun* running(BranchToken token);
  std::size_t waiting() const;
  bool has_ended() const;
  /// There is no node that could decide: it is given up, and nothing follows from that.
  static void give_up(Rerun& rerun);
  /// Its run ended on its worker. An answer that differs from the recorded one asks for a third run
  /// on a node that gave neither. Invalidates references to reruns.
  void settle(Rerun& rerun, const BranchEnded& ended);
  /// The third run of this one's step; null: there is none.
  const Rerun* third_of(const Rerun& rerun) const;
  /// The same, once it has decided.
  const Rerun* verdict_of(const Rerun& rerun) const;

private:
  std::vector<Rerun> list_;
};

}  // namespace forerun
