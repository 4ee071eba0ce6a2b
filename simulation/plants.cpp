#include "simulation/plants.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace forerun::simulation {
namespace {

constexpr std::array all{
    Plant{Bug::hazard_missed, "hazard-missed",
          "a write drops no speculation that read what it writes"},
    Plant{Bug::stale_epoch, "stale-epoch",
          "results of older terms are taken, and tokens begin at 0 in each"},
    Plant{Bug::run_id_reused, "run-id-reused",
          "a restarted coordinator counts run IDs on from below the mark"},
    Plant{Bug::write_before_intent, "write-before-intent",
          "a write is dispatched before its intent is durable"},
    Plant{Bug::effect_before_decision, "effect-before-decision",
          "an effect is sent before its decision is durable"},
    Plant{Bug::budget_leak, "budget-leak",
          "a discarded speculation is refunded to the waste budget"},
    Plant{Bug::winner_by_arrival, "winner-by-arrival",
          "the first valid result wins, whatever its rank"},
    Plant{Bug::chain_forgotten, "chain-forgotten",
          "a restarted coordinator begins each session's seed chain anew"},
    Plant{Bug::other_branch_answers, "other-branch-answers",
          "a race's first branch answers, whoever won"},
    Plant{Bug::stale_state, "stale-state",
          "a speculation is used though the state it was given has changed"},
    Plant{Bug::slot_kept_for_ever, "slot-kept-for-ever",
          "a cancelled branch that its node does not know keeps its slot"},
    Plant{Bug::opening_blocked, "opening-blocked",
          "an opening whose client left is forgotten, and its key is not"},
    Plant{Bug::write_repeated, "write-repeated",
          "a write that was lost runs again though it is not idempotent"},
    Plant{Bug::write_repeated_at_restart, "write-repeated-at-restart",
          "the same, after a crash of the coordinator"},
    Plant{Bug::key_not_kept, "key-not-kept", "a step's idempotency key is in memory only"},
    Plant{Bug::opening_key_not_kept, "opening-key-not-kept",
          "an opening's idempotency key is in memory only"},
    Plant{Bug::cut_list_whole_again, "cut-list-whole-again",
          "what is left of a list that a crash cut is in memory only"},
    Plant{Bug::ended_list_goes_on, "ended-list-goes-on",
          "a list that a crash cut goes on though its session has ended"},
    Plant{Bug::child_not_discarded, "child-not-discarded",
          "what hangs under a discarded speculation goes without an entry"},
    Plant{Bug::speculation_outlives_session, "speculation-outlives-session",
          "a session's end discards nothing"},
    Plant{Bug::loser_not_cancelled, "loser-not-cancelled",
          "the attempt that lost to a second one is never cancelled"},
    Plant{Bug::head_before_durable, "head-before-durable",
          "a welcome names a ledger that is not durable yet"},
    Plant{Bug::list_out_of_order, "list-out-of-order",
          "conflicting calls of a list run side by side"},
    Plant{Bug::effect_forgotten, "effect-forgotten",
          "effects that were not delivered do not survive a restart"},
    Plant{Bug::effect_key_changes, "effect-key-changes",
          "each attempt to deliver an effect has a key of its own"},
    Plant{Bug::shown_before_durable, "shown-before-durable",
          "a session shows steps that are not durable"},
    Plant{Bug::term_heard_too_early, "term-heard-too-early",
          "nodes are welcomed to a term before it is durable"},
    Plant{Bug::marks_asked_once, "marks-asked-once",
          "a question for run IDs that is lost is not asked again"},
    Plant{Bug::effect_shown_too_early, "effect-shown-too-early",
          "effects of a step are shown before it is durable"},
    Plant{Bug::redrive_not_kept, "redrive-not-kept",
          "a parked effect is tried again, and that is in memory only"},
    Plant{Bug::forgetting_not_kept, "forgetting-not-kept",
          "taught sessions are forgotten in memory only"},
    Plant{Bug::texts_overwritten, "texts-overwritten",
          "a restarted coordinator counts a session's texts from 0"},
    Plant{Bug::adopted_session_goes_on, "adopted-session-goes-on",
          "a session goes on behind steps that were adopted, as if they had not been"},
    Plant{Bug::quarantine_forgotten, "quarantine-forgotten",
          "a restarted coordinator gives work to a node that lied"},
    Plant{Bug::gap_not_fetched, "gap-not-fetched",
          "a node does not ask for entries that it missed"},
    Plant{Bug::fetch_not_repeated, "fetch-not-repeated",
          "a node asks for entries once, and never again"},
    Plant{Bug::cancel_without_stop, "cancel-without-stop",
          "a node frees a cancelled branch's slot and lets it run on"},
    Plant{Bug::dispatch_repeated, "dispatch-repeated",
          "a dispatch that comes twice runs a branch that has ended once more"},
    Plant{Bug::wake_forgotten, "wake-forgotten",
          "an actor that was woken once is never woken again"},
    Plant{Bug::inputs_dropped, "inputs-dropped",
          "what arrives while the coordinator is busy is dropped"},
    Plant{Bug::group_overwritten, "group-overwritten",
          "what a node verified and has not stored is replaced by what it verifies next"},
    Plant{Bug::discards_on_every_page, "discards-on-every-page",
          "a page of an explanation shows what was discarded before it, too"},
    Plant{Bug::early_reply, "early-reply", "the store says \"durable\" before it is"},
    Plant{Bug::failed_sync_ignored, "failed-sync-ignored", "a failed sync is taken for a good one"},
    Plant{Bug::torn_batch, "torn-batch", "a batch becomes durable in part"},
    Plant{Bug::lost_intent, "lost-intent", "write intents are not stored"},
    Plant{Bug::lost_marks, "lost-marks", "blocks of run IDs are stored on neither side"},
    Plant{Bug::lost_discard, "lost-discard", "one node never gets an entry that discards"},
    Plant{Bug::off_by_one_catch_up, "off-by-one-catch-up", "catching up begins one entry late"},
    Plant{Bug::repeated_run, "repeated-run", "a worker runs a branch twice"},
};

}  // namespace

std::span<const Plant> plants() {
  return all;
}

Result<Plant> plant_from(std::string_view name) {
  const auto found = std::find_if(all.begin(), all.end(),
                                  [name](const Plant& plant) { return plant.name == name; });
  if (found != all.end()) {
    return *found;
  }
  std::string known;
  for (const Plant& plant : all) {
    known += known.empty() ? "" : ", ";
    known += plant.name;
  }
  return fail(Errc::not_found,
              "--plant: found " + std::string(name) + ", expected one of " + known);
}

}  // namespace forerun::simulation
