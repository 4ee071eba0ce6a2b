#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"
#include "coordinator/wait_samples.hpp"
#include "speculation/ids.hpp"

namespace forerun {

struct UsefulnessSettings {
  /// Of sessions that may run ahead: these do not, and say what a call takes without it. 0: nothing
  /// is known of that, so no task is turned off.
  double control_share = 0.05;
  double improvement_min = 0.15;   ///< Of a task's wait; less turns it off.
  double winner_share_max = 0.85;  ///< One branch that wins more often turns its race off.
  Duration probe_after = std::chrono::minutes(5);    ///< Off so long at first, then twice as long,
  Duration probe_after_max = std::chrono::hours(6);  ///< up to this.
  std::size_t ahead_min = 30;    ///< Waits of sessions that run ahead, before a task is judged,
  std::size_t control_min = 20;  ///< and of the control share.
  std::size_t races_min = 30;    ///< Before a race is judged.
  std::size_t look_every = 10;   ///< So many new ones between two judgements.
  std::size_t window = 1000;     ///< The latest that are looked at, of each kind.
  std::size_t tasks_max = 2048;  ///< Tasks known, over all tenants; the longest unused goes first.
  std::size_t told_max = 50;     ///< Tasks in one report.
};

/// Is this one of the control share? A function of run ID and share alone, so that every node and
/// every later run finds the same: bytes 4 to 7 of SHA-256(run ID), as a number, below share ×
/// 2^32.
bool is_in_control_share(const RunId& run_id, double share);

/// Which of a tenant's tasks are worth running ahead, and which races need all their branches at
/// once (design.md §5). Compares what clients waited for calls that were foreseen: in sessions that
/// ran them ahead, and in the control share, where they were foreseen alike and not run. A task or
/// race that gains too little is off for a time that doubles with each further turn; then it is
/// probed. Pure: time is what the caller says; equal calls in equal order give equal answers.
class Usefulness {
public:
  enum class Arm : std::uint8_t { ahead, control };
  /// What changed, for the log; `drops`: what runs ahead of this task must end.
  struct Turn {
    std::string tenant;
    std::string task;
    bool drops = false;
    std::string text;
  };

  explicit Usefulness(const UsefulnessSettings& settings) : settings_(settings) {}

  bool is_off(std::string_view tenant, std::string_view task) const;
  /// May a call of this task be run ahead now? A task whose time off has passed is on again.
  bool allows(Instant now, std::string_view tenant, std::string_view task);
  /// Of a race that is turned off, the branch that wins most; nothing of any other.
  std::optional<std::size_t> favourite(std::string_view tenant, std::string_view race) const;

  /// A foreseen call of this task was answered so long after it was confirmed.
  void waited(Instant now, std::string_view tenant, std::string_view task, Arm arm, Duration wait);
  /// A `ranked` or `ordered` race was decided; its winner does not depend on how it was started.
  struct RaceOutcome {
    std::optional<std::size_t> winner;
    std::string winner_name;
    Duration at_once{};     ///< The longest of the branches that the decision needed.
    Duration one_by_one{};  ///< All of them, one after another.
  };
  void raced(Instant now, std::string_view tenant, std::string_view race,
             const RaceOutcome& outcome);

  /// Since the last time, in order.
  std::vector<Turn> take_turns();
  /// One object a task of this tenant: those that are off first, then the latest used; at most told_max.
  json::Array report(Instant now, const std::string& tenant) const;
  /// Tenants and tasks that do not run ahead now, the latest used first.
  std::vector<std::pair<std::string, std::string>> turned_off() const;
  std::size_t size() const { return by_use_.size(); }

private:
  struct Switch {
    bool is_off = false;
    bool is_probing = false;  ///< On again, and not judged since.
    Instant probe_at{};
    Duration off_for{};  ///< The next time.
    std::string why;     ///< Of the latest turn.
  };
  struct Known {
    std::uint64_t used = 0;
    WaitSamples ahead;
    WaitSamples control;
    std::size_t new_waits = 0;  ///< Since the last judgement.
    Switch runs_ahead;
    std::vector<RaceOutcome> races;
    std::size_t oldest_race = 0;  ///< In a full ring.
    std::size_t new_races = 0;
    std::size_t favourite = 0;
    Switch at_once;
  };
  struct Wins {
    std::size_t branch = 0;
    std::string name;
    Estimate share;
  };
  using Key = std::pair<std::string, std::string>;

  const Known* find(std::string_view tenant, std::string_view task) const;
  Known& use(std::string_view tenant, std::string_view task);
  void judge(Instant now, const Key& key, Known& known);
  void judge_race(Instant now, const Key& key, Known& known);
  void turn_off(Instant now, Switch& which, std::string why) const;
  static std::optional<Wins> most_wins(const Known& known);
  json::Value report_of(Instant now, const Key& key, const Known& known) const;

  UsefulnessSettings settings_;
  std::map<std::string, std::map<std::string, Known, std::less<>>, std::less<>> tasks_;
  std::map<std::uint64_t, Key> by_use_;  ///< The longest unused first.
  std::uint64_t uses_ = 0;
  std::vector<Turn> turns_;
};

}  // namespace forerun
