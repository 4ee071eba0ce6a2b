#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/sha256.hpp"
#include "coordinator/reruns.hpp"
#include "speculation/ids.hpp"

namespace forerun {

struct RecheckSettings {
  double share = 0;  ///< Of confirmed steps that may be run again; 0: none is.
  /// Answers of one node that two others contradict; then it is given no work any more.
  std::uint32_t lies_max = 3;
};

/// Runs a share of what was decided again, on another node, so that a worker that answers other
/// than its task does is found while it works. Which steps is drawn with a secret, so that a worker
/// cannot tell which of its answers will be looked at. Where two answers differ a third node
/// decides; who stands alone has lied. A task that lets two nodes look like liars, or gets three
/// answers, is not deterministic: it is not looked at again, and nothing it said counts. Pure.
class Rechecks {
public:
  static constexpr std::size_t waiting_max = 64;     ///< Beyond it a drawn step is passed over.
  static constexpr std::size_t suspects_max = 4096;  ///< Nodes of which lies are counted.

  Rechecks(RecheckSettings settings, Digest secret) : settings_(settings), secret_(secret) {}

  /// Whether this step of a task that may_be_rerun() is run again.
  bool draws(const RunId& run_id, StepNumber step, const std::string& task) const;
  void add(Rerun rerun);
  Reruns& reruns() { return reruns_; }

  struct Verdicts {
    std::vector<std::string> log;  ///< For the operator.
    std::vector<NodeId> liars;     ///< To be given no work any more; each is told once.
  };
  /// Judges what has ended since, and forgets it.
  Verdicts judge();
  json::Value report() const;

private:
  void judge(const Rerun& rerun, Verdicts& verdicts);
  void blame(const NodeId& node, const std::string& name, const Rerun& rerun, Verdicts& verdicts);
  void distrust(const std::string& task, const std::string& why, Verdicts& verdicts);

  const RecheckSettings settings_;
  const Digest secret_;
  Reruns reruns_;
  std::map<NodeId, std::map<std::string, std::uint32_t>> lies_;  ///< By task.
  std::set<std::string> not_deterministic_;                      ///< Tasks of the catalog.
  std::set<NodeId> liars_;
  std::uint64_t agreed_ = 0;
  std::uint64_t differed_ = 0;
  std::uint64_t undecided_ = 0;
  std::uint64_t passed_over_ = 0;
};

}  // namespace forerun
