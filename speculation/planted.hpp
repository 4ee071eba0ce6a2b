#pragma once

#include <cstdint>

/// Bugs put in on purpose, to see that the simulator's checks find them (docs/simulation.md). Only
/// the test build `forerun-sim-planted` has them: in every other one planted() is the constant
/// false, and nothing of them is left.
namespace forerun {

enum class Bug : std::uint8_t {
  none,
  // In the coordinator's brain.
  hazard_missed,
  stale_epoch,
  run_id_reused,
  write_before_intent,
  effect_before_decision,
  budget_leak,
  winner_by_arrival,
  chain_forgotten,
  other_branch_answers,
  stale_state,
  slot_kept_for_ever,
  opening_blocked,
  write_repeated,
  write_repeated_at_restart,
  key_not_kept,
  opening_key_not_kept,
  cut_list_whole_again,
  ended_list_goes_on,
  child_not_discarded,
  speculation_outlives_session,
  loser_not_cancelled,
  head_before_durable,
  list_out_of_order,
  effect_forgotten,
  effect_key_changes,
  shown_before_durable,
  term_heard_too_early,
  marks_asked_once,
  effect_shown_too_early,
  redrive_not_kept,
  forgetting_not_kept,
  texts_overwritten,
  adopted_session_goes_on,
  quarantine_forgotten,
  // In a node's brain.
  gap_not_fetched,
  fetch_not_repeated,
  cancel_without_stop,
  dispatch_repeated,
  // In their actors.
  wake_forgotten,
  inputs_dropped,
  group_overwritten,
  discards_on_every_page,  // In what reads the store.
  // In the processes and stores around them, as the simulator plays them.
  early_reply,
  failed_sync_ignored,
  torn_batch,
  lost_intent,
  lost_marks,
  lost_discard,
  off_by_one_catch_up,
  repeated_run,
};

#ifdef FORERUN_PLANTED_BUGS
/// The one that this process has.
inline Bug planted_bug = Bug::none;
inline bool planted(Bug bug) {
  return planted_bug == bug;
}
#else
constexpr bool planted(Bug) {
  return false;
}
#endif

}  // namespace forerun
