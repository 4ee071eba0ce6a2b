#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace forerun {

enum class AdmissionPolicy : std::uint8_t {
  value,  ///< Expected time hidden against expected waste at the current price.
  bands,  ///< By confidence alone.
};
const char* to_string(AdmissionPolicy policy);

struct AdmissionSettings {
  AdmissionPolicy policy = AdmissionPolicy::value;
  /// `value`: a second of expected waste costs so many seconds of expected time hidden; the least
  /// when the budget is ample, the most when it is almost spent.
  double price_min = 0.3;
  double price_max = 8;
  double ample = 16;     ///< The budget is ample when it covers so many calls like the candidate.
  Duration hit_cost{};   ///< What answering from a speculation costs, as measured.
  Duration kill_cost{};  ///< Slot time that a cancelled branch still holds.
  double start_above = 0.90;      ///< `bands`: start.
  double idle_above = 0.70;       ///< `bands`: start only on idle capacity; below: wait.
  double waste_ratio_max = 0.15;  ///< Of committed slot time.
  double aim = 0.97;  ///< Share of that limit that fills the budget: what was saved up before may
                      ///< be spent on top of it.
  Duration bucket_max = std::chrono::minutes(5);
  Duration bucket_first{};  ///< What the budget holds when a term starts; not earned by anything.
  std::uint32_t per_session_max = 8;    ///< Speculations running in one session.
  std::uint32_t in_cluster_max = 4096;  ///< Running in the cluster.
  std::uint32_t depth_max = 8;
  std::uint32_t kept_per_session_max = 32;  ///< Finished and waiting to be asked for.
};

/// The hard bound on waste (design.md §5): filled by waste_ratio_max of committed slot time,
/// drained by speculative slot time as it passes and by what killed speculations still hold,
/// refilled by what a hit gives back. Each term starts with bucket_first. Exact: integers only, so
/// the bound holds to the microsecond. As long as nothing is spent while it is closed, spent −
/// refunded ≤ ratio × committed + what one call of spent() named. Pure; time is what the caller
/// says passed.
class WasteBudget {
public:
  explicit WasteBudget(const AdmissionSettings& settings);
  /// Slot time of work that a step's answer came from, or that was confirmed from the start.
  void committed(Duration slot_time);
  /// Speculative slot time that has just passed, over all speculations that run or were killed and
  /// keep their slots. May leave a debt,
  /// which committed work must pay before the budget opens again.
  void spent(Duration slot_time);
  /// A speculation answered: its slot time was no waste. @pre it was spent before.
  void refunded(Duration slot_time);
  /// False: nothing may start, and what runs must be killed.
  bool is_open() const { return level_ > 0; }
  /// What may still be wasted, rounded down; negative is debt.
  Duration level() const;

private:
  void add(std::int64_t millionths);

  std::int64_t ratio_ppm_;  ///< waste_ratio_max in parts per million.
  std::int64_t size_;       ///< In millionths of a microsecond, like the level.
  std::int64_t level_ = 0;
};

/// What admission looks at for one candidate.
struct Candidate {
  double confidence = 0;  ///< Joint, over the chain it hangs under.
  std::uint32_t depth = 1;
  bool has_free_slot =
      false;  ///< A slot is free now, though confirmed work that waits may want it back.
  bool has_idle_slot = false;  ///< A free slot beyond those that queued confirmed work will take.
  std::uint32_t running_in_session = 0;
  std::uint32_t running_in_cluster = 0;
  Duration expected{};  ///< Slot time that its branches will take; zero when unknown.
  Duration reserved{};  ///< Slot time that running speculations will still take.
  Duration hidden{};    ///< `value`: time that the session will not wait, if it is asked for.
  Duration at_stake{};  ///< `value`: slot time spent until it is disproved, if it is not.
};

enum class Verdict : std::uint8_t {
  start,
  too_unlikely,
  no_idle_slot,
  too_deep,
  session_full,
  cluster_full,
  budget_empty,
  session_ends  ///< The session is expected to end: there is nothing to start.
};
const char* to_string(Verdict verdict);

/// The price of waste now, from what the budget still covers: between price_max and price_min,
/// falling by equal ratios.
double price_of_waste(const AdmissionSettings& settings, const WasteBudget& budget,
                      Duration expected, Duration reserved);

/// `value`: no candidate below this confidence can be worth starting now.
double confidence_min(const AdmissionSettings& settings, const WasteBudget& budget,
                      Duration expected, Duration reserved);

/// May this candidate start now? `value`: when the time it will hide, if it is asked for, outweighs
/// what it will waste, if it is not, at the current price (both discounted by its confidence); on
/// an idle slot. `bands`: above start_above on any free slot, above idle_above on an idle one, else
/// it waits. A speculation never starts without a free slot, nor unless the budget covers it to its
/// end beside all that runs, and one kill: one that is killed half-way is nothing but waste. The
/// verdict names the first rule that forbids it, the limits before the bands.
Verdict admit(const AdmissionSettings& settings, const WasteBudget& budget,
              const Candidate& candidate);

}  // namespace forerun
