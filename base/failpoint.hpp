#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

/// Moments around every durable step at which a test can have this process killed, stopped or cut
/// from power (docs/guarantees.md). `FORERUN_FAILPOINT=NAME[:NTH[:ACTION]]` arms one: the NTH time
/// (1) that it is reached, ACTION (kill) happens. Inert without that variable; a build configured
/// with -DFORERUN_FAILPOINTS=OFF has none (docs/adr/0018-failpoints.md).
///
/// | action | what happens |
/// |---|---|
/// | kill | SIGKILL |
/// | stop | SIGSTOP, once |
/// | exit | the process ends with 1, without unwinding |
/// | fail | the system call beside it is taken to have failed; only where `can_fail` |
/// | power | what no disk of this process has synced is lost, or survives by a coin for each sector
///   of 512 bytes; then SIGKILL |
///
/// A line on stderr says that it happened, before it does. A malformed variable ends the process
/// with 2 when the first point is reached. Thread-safe.
namespace forerun {

/// X(identifier, name, can_fail). `ledger.*` names what is in a coordinator's transaction: before
/// it is begun, where all of it may fail, and after it is synced.
#define FORERUN_FAILPOINT_LIST(X)                                         \
  X(file_write, "file.write", true) /* A key, a token, a proof. */        \
  X(file_rename, "file.rename", true)                                     \
  X(file_written, "file.written", false)                                  \
  X(store_create, "store.create", false)                                  \
  X(store_created, "store.created", false)                                \
  X(disk_write, "disk.write", true)                                       \
  X(disk_sync, "disk.sync", true)                                         \
  X(disk_synced, "disk.synced", false)                                    \
  X(disk_checkpoint, "disk.checkpoint", true)                             \
  X(disk_checkpointed, "disk.checkpointed", false)                        \
  X(ledger_term, "ledger.term.before", true)                              \
  X(ledger_term_done, "ledger.term.after", false)                         \
  X(ledger_session, "ledger.session.before", true)                        \
  X(ledger_session_done, "ledger.session.after", false)                   \
  X(ledger_ended, "ledger.ended.before", true) /* A session. */           \
  X(ledger_ended_done, "ledger.ended.after", false)                       \
  X(ledger_said, "ledger.said.before", true) /* A session's text. */      \
  X(ledger_said_done, "ledger.said.after", false)                         \
  X(ledger_opening_key, "ledger.opening_key.before", true)                \
  X(ledger_opening_key_done, "ledger.opening_key.after", false)           \
  X(ledger_intent, "ledger.intent.before", true)                          \
  X(ledger_intent_done, "ledger.intent.after", false)                     \
  X(ledger_commit, "ledger.commit.before", true)                          \
  X(ledger_commit_done, "ledger.commit.after", false)                     \
  X(ledger_discard, "ledger.discard.before", true)                        \
  X(ledger_discard_done, "ledger.discard.after", false)                   \
  X(ledger_effect, "ledger.effect.before", true)                          \
  X(ledger_effect_done, "ledger.effect.after", false)                     \
  X(ledger_parked, "ledger.parked.before", true) /* An effect given up. */ \
  X(ledger_parked_done, "ledger.parked.after", false)                     \
  X(ledger_delivered, "ledger.delivered.before", true)                    \
  X(ledger_delivered_done, "ledger.delivered.after", false)               \
  X(ledger_mark, "ledger.mark.before", true)                              \
  X(ledger_mark_done, "ledger.mark.after", false)                         \
  X(ledger_owner, "ledger.owner.before", true)                            \
  X(ledger_owner_done, "ledger.owner.after", false)                       \
  X(ledger_quarantine, "ledger.quarantine.before", true)                  \
  X(ledger_quarantine_done, "ledger.quarantine.after", false)             \
  X(ledger_head, "ledger.head.before", true)                              \
  X(ledger_head_done, "ledger.head.after", false)                         \
  X(ledger_history, "ledger.history.before", true)                        \
  X(ledger_history_done, "ledger.history.after", false)                   \
  X(ledger_forgotten, "ledger.forgotten.before", true) /* Taught sessions. */ \
  X(ledger_forgotten_done, "ledger.forgotten.after", false)               \
  X(ledger_keys_dropped, "ledger.keys_dropped.before", true) /* The oldest of openings. */ \
  X(ledger_keys_dropped_done, "ledger.keys_dropped.after", false)         \
  X(ledger_text, "ledger.text.before", true)                              \
  X(ledger_text_done, "ledger.text.after", false)                         \
  X(ledger_written, "ledger.written", false) /* Not committed yet. */     \
  X(coordinator_recovered, "coordinator.recovered", false)                \
  X(coordinator_persisted, "coordinator.persisted", false) /* Brain not told yet. */ \
  X(coordinator_send, "coordinator.send.before", false)                   \
  X(coordinator_sent, "coordinator.send.after", false)                    \
  X(coordinator_publish, "coordinator.publish.before", false)             \
  X(coordinator_published, "coordinator.publish.after", false)            \
  X(coordinator_reply, "coordinator.reply.before", false)                 \
  X(coordinator_replied, "coordinator.reply.after", false)                \
  X(replica_append, "replica.append.before", false)                       \
  X(replica_written, "replica.written", false)                            \
  X(replica_appended, "replica.append.after", false)                      \
  X(replica_epoch, "replica.epoch.before", false)                         \
  X(replica_epoch_done, "replica.epoch.after", false)                     \
  X(replica_reset, "replica.reset.before", false)                         \
  X(replica_moved, "replica.reset.moved", false)                          \
  X(replica_reset_done, "replica.reset.after", false)                     \
  X(identity_save, "identity.save.before", false)                         \
  X(identity_saved, "identity.save.after", false)                         \
  X(divergence_record, "divergence.record.before", false)                 \
  X(divergence_recorded, "divergence.record.after", false)                \
  X(divergence_settle, "divergence.settle.before", false)                 \
  X(divergence_settled, "divergence.settle.after", false)                 \
  X(node_recovered, "node.recovered", false)                              \
  X(node_run, "node.run.before", false)                                   \
  X(node_ran, "node.run.after", false)                                    \
  X(node_effect, "node.effect.before", false)                             \
  X(node_effect_done, "node.effect.after", false)                         \
  X(node_send, "node.send.before", false)                                 \
  X(node_sent, "node.send.after", false)

enum class Failpoint : std::uint8_t {
#define FORERUN_FAILPOINT_ENUMERATOR(identifier, name, can_fail) identifier,
  FORERUN_FAILPOINT_LIST(FORERUN_FAILPOINT_ENUMERATOR)
#undef FORERUN_FAILPOINT_ENUMERATOR
};

/// This point is reached: what is armed there happens. True: the step beside it is to fail.
bool fails_at(Failpoint point);
/// The same where nothing can fail.
inline void reach(Failpoint point) {
  static_cast<void>(fails_at(point));
}

/// Names of all points that this build has, in the order of the list.
std::vector<std::string_view> failpoint_names();

bool is_failpoint_armed();
bool is_failpoint_armed(Failpoint point);
/// True when a power cut is armed: disks then remember what is not synced.
bool is_power_cut_armed();
/// Called by a power cut, before the process dies; `coin` says whether a sector survives. There is
/// no taking it back.
void on_power_cut(std::function<void(const std::function<bool()>& coin)> loses);

}  // namespace forerun
