#include <algorithm>

#include "coordinator/machine.hpp"
#include "speculation/planted.hpp"

namespace forerun {
namespace {

/// A branch that its node does not know is given up only when the dispatch had time to arrive.
constexpr Duration dispatch_settle = std::chrono::seconds(1);

}  // namespace

void CoordinatorMachine::handle(ConnectionId connection, const NodeId& node, const Join& message) {
  if (!has_served_ && ledger_.size() == opened_size_ && is_lost_history(message)) {
    out_.fatal = Error{
        Errc::verification,
        "join: node " + message.name + " holds " + std::to_string(message.signed_head->head.size) +
            " entries that this ledger's key has signed, this store only " +
            std::to_string(durable_head_->size) +
            ": an older copy of the data folder was put back, and the node was not heard before "
            "the term. Nothing was begun since: put the copy back again and start the "
            "coordinator while its nodes run, or give the start more time (--adopt-wait-ms); a "
            "node "
            "that joined since then stops, and needs --resync. To go on without what " +
            message.name + " holds, start it with --resync first"};
    return;
  }
  if (message.epoch > ledger_.epoch() ||
      (message.epoch == ledger_.epoch() && message.head.size > durable_head_->size)) {
    refuse_ahead(connection, node, message);
    return;
  }
  if (refuse_foreign_worker(connection, node, message)) {
    return;
  }
  const Membership::Verdict verdict = membership_.judge(now_, connection, node, message);
  switch (verdict.admission) {
    case Membership::Admission::wait:
      // A process that was killed has no connection any more: what is sent on it says so at once,
      // instead of after its silence. It means nothing to one that lives.
      if (const NodeSeat* seat = verdict.replaced ? membership_.find(*verdict.replaced) : nullptr) {
        out_.send.push_back({seat->connection, Entries{Seq{0}, {}, std::nullopt}});
      }
      return;
    case Membership::Admission::refuse:
      out_.log.push_back("refused " + message.name + " (" + node.name + "): " + verdict.why);
      out_.send.push_back({connection, JoinRefused{verdict.why, true}});
      return;
    case Membership::Admission::reconnect:
      seat_node(connection, node, message, true);
      return;
    case Membership::Admission::welcome:
      if (verdict.replaced) {
        lose_node(*verdict.replaced, "replaced by its next start");
        known_nodes_.replaced(*verdict.replaced);
      }
      seat_node(connection, node, message, false);
      return;
  }
}

/// The node proves that this key has signed more than the store holds.
bool CoordinatorMachine::is_lost_history(const Join& message) const {
  const std::optional<SignedHead>& head = message.signed_head;
  return head && head->head.size > durable_head_->size &&
         head->public_key == ledger_.public_key() && verify_head(*head);
}

/// A node follows no term older than one that it has accepted, and in one that it has accepted it
/// takes entries for known that are not: with a seat it would be given work that it ignores, or
/// answer what was answered before.
void CoordinatorMachine::refuse_ahead(ConnectionId connection, const NodeId& node,
                                      const Join& message) {
  const std::string why =
      "join: node " + message.name + " has accepted epoch " + to_string(message.epoch) +
      " and holds " + std::to_string(message.head.size) + " entries, this term is epoch " +
      to_string(ledger_.epoch()) + " with " + std::to_string(durable_head_->size) +
      ": an older copy of the data folder was put back, and the node was not heard before the "
      "term; put the copy back again and start the coordinator while its nodes run, or start the "
      "node with --resync to take this ledger";
  out_.send.push_back({connection, JoinRefused{why, false}});
  if (refused_ahead_.insert(node).second) {
    out_.log.push_back(why);
  }
}

/// An allowed node must not take another one's identity, not even while that one is away.
bool CoordinatorMachine::refuse_foreign_worker(ConnectionId connection, const NodeId& node,
                                               const Join& message) {
  const auto why = owners_.refusal(message.workers, node, known_nodes_);
  if (!why) {
    return false;
  }
  out_.send.push_back({connection, JoinRefused{*why, true}});
  if (refused_owners_.insert(node).second) {
    out_.log.push_back("refused " + message.name + " (" + node.name + "): " + *why);
  }
  return true;
}

void CoordinatorMachine::seat_node(ConnectionId connection, const NodeId& node, const Join& message,
                                   bool is_reconnect) {
  const NodeSeat* const seated = membership_.find(node);
  const bool is_repeated = is_reconnect && seated != nullptr && seated->connection == connection;
  membership_.seat(now_, connection, node, message);
  known_nodes_.joined(node);
  if (!is_repeated) {
    out_.log.push_back(std::string(is_reconnect ? "rejoined " : "joined ") + message.name + " (" +
                       node.name + ") with " + std::to_string(message.workers.size()) +
                       " workers, ledger " + std::to_string(message.head.size));
  }
  Welcome welcome;
  welcome.epoch = ledger_.epoch();
  welcome.version = settings_.version;
  welcome.publish_port = settings_.publish_port;
  welcome.catalog = catalog_text_;
  welcome.head = ledger_.sign(
      planted(Bug::head_before_durable) ? ledger_.head() : durable_head_.value_or(LedgerHead{}));
  out_.send.push_back({connection, std::move(welcome)});
  if (audit_ && audit_->awaits(node)) {
    ask_replica(*membership_.find(node));  // What was on its way may be lost with the connection.
  }
  for (const WorkerOffer& offer : message.workers) {
    if (auto owner = owners_.joined(offer.worker, node, known_nodes_)) {
      batch_.owners.push_back(std::move(*owner));
    }
    if (const auto reservation = run_ids_.joined(offer.worker, offer.run_mark)) {
      reserve(*reservation);
    }
  }
  open_waiting();
}

void CoordinatorMachine::reserve(const RunIdAllocator::Reservation& reservation) {
  batch_.marks.push_back({reservation.worker, reservation.mark});
  release_.marks.push_back({reservation.worker, reservation.mark});
  send_to(reservation.worker, ReserveRunIds{reservation.worker, reservation.mark});
}

void CoordinatorMachine::send_to(const WorkerId& worker, CoordinatorMessage message) {
  if (const WorkerSeat* seat = membership_.worker(worker)) {
    out_.send.push_back({membership_.find(seat->node)->connection, std::move(message)});
  }
}

void CoordinatorMachine::lose_node(const NodeId& node, const std::string& why) {
  const NodeSeat* seat = membership_.find(node);
  if (seat == nullptr) {
    return;
  }
  out_.log.push_back("lost " + seat->name + " (" + node.name + "): " + why);
  known_nodes_.lost(node, seat->name, why);
  if (audit_) {
    audit_->lost(node, why);
  }
  for (const WorkerId& worker : seat->workers) {
    warm_.lost(worker);
  }
  for (const BranchToken token : membership_.lose(node)) {
    if (stopping_.contains(token)) {
      slot_is_free(token);
    } else {
      lost_branch(token, "its node was lost: " + why);
    }
  }
  open_waiting();
}

void CoordinatorMachine::handle(NodeSeat& seat, const Heartbeat& message) {
  const bool is_standing = seat.head.size == message.head.size;
  seat.head = message.head;
  if (message.epoch != ledger_.epoch()) {
    out_.send.push_back({seat.connection, JoinAgain{ledger_.epoch()}});
    return;
  }
  if (is_standing && latest_head_ && message.head.size < latest_head_->head.size) {
    // It missed what was published last and nothing follows that would show it the gap.
    out_.send.push_back({seat.connection, Entries{Seq{latest_head_->head.size}, {}, latest_head_}});
  }
  if (!openings_.empty() && !planted(Bug::marks_asked_once)) {
    ask_for_marks_again(seat);
  }
  const auto has = [](const std::vector<BranchToken>& list, BranchToken token) {
    return std::find(list.begin(), list.end(), token) != list.end();
  };
  std::vector<BranchToken> gone;
  for (const BranchToken token : seat.tokens) {
    if (has(message.finished, token)) {
      if (stopping_.contains(token)) {
        // It ended by itself before it heard that it should: it is gone once the node forgets it.
        out_.send.push_back({seat.connection, CancelBranch{ledger_.epoch(), token}});
      } else if (branches_.contains(token.value) || rerun_of(token).rerun != nullptr) {
        out_.send.push_back({seat.connection, ResendResult{ledger_.epoch(), token}});
      }
      continue;
    }
    if (has(message.running, token)) {
      if (stopping_.contains(token)) {
        out_.send.push_back({seat.connection, CancelBranch{ledger_.epoch(), token}});
      }
      continue;
    }
    gone.push_back(token);
  }
  for (const BranchToken token : message.running) {
    if (!seat.tokens.contains(token)) {
      out_.send.push_back({seat.connection, CancelBranch{ledger_.epoch(), token}});
    }
  }
  for (const BranchToken token : gone) {
    give_up_unknown(token);
  }
}

/// Sessions wait to be opened: the question for a block of run IDs, or its answer, may be lost.
void CoordinatorMachine::ask_for_marks_again(const NodeSeat& seat) {
  for (const WorkerId& worker : seat.workers) {
    if (const auto mark = run_ids_.awaited_at_home(worker)) {
      send_to(worker, ReserveRunIds{worker, *mark});
    }
  }
}

/// The node has no branch of this token: the dispatch, or the answer to a cancel, was lost on the
/// way.
void CoordinatorMachine::give_up_unknown(BranchToken token) {
  if (const auto at = stopping_.find(token); at != stopping_.end()) {
    if (now_ - at->second.since >= dispatch_settle && !planted(Bug::slot_kept_for_ever)) {
      slot_is_free(token);
    }
  } else if (const Rerun* rerun = rerun_of(token).rerun) {
    if (now_ - rerun->started >= dispatch_settle) {
      lose_rerun(token, "lost on the way to its worker");
    }
  } else if (const EffectQueue::Item* effect = effects_.running(token)) {
    if (now_ - effect->started >= dispatch_settle) {
      lose_effect(token);
    }
  } else if (const auto ref = branches_.find(token.value); ref != branches_.end()) {
    const Work* work = work_of(ref->second);
    if (work != nullptr &&
        now_ - work->branches[ref->second.index].started_of(token) >= dispatch_settle) {
      lost_branch(token, "lost on the way to its worker");
    }
  }
}

void CoordinatorMachine::handle(NodeSeat& seat, const BranchEnded& message) {
  const bool is_of_term = message.epoch == ledger_.epoch() || planted(Bug::stale_epoch);
  if (!is_of_term || !seat.tokens.contains(message.token)) {
    return;  // Of an older term, already settled, or another node's: design.md §8.9.
  }
  note_stop(message);
  settle(message.token, message);
}

void CoordinatorMachine::handle(NodeSeat& seat, const FetchEntries& message) {
  out_.serve_entries.push_back({seat.connection, message.from, fetch_entries_max});
}

void CoordinatorMachine::handle(NodeSeat& seat, const MarkStored& message) {
  if (std::find(seat.workers.begin(), seat.workers.end(), message.worker) == seat.workers.end()) {
    return;
  }
  run_ids_.stored_at_home(message.worker, message.mark);
  open_waiting();
}

void CoordinatorMachine::handle(NodeSeat& seat, const Diverged& message) {
  out_.log.push_back("DIVERGED " + seat.name + " (" + seat.id.name + "): " + message.why +
                     "; its head: size " + std::to_string(message.own.size) + " root " +
                     to_hex(message.own.root));
  lose_node(NodeId(seat.id), "its ledger diverged: " + message.why);
}

void CoordinatorMachine::on(const NodesAllowed& allowed) {
  known_nodes_.allow(allowed.names);
}

/// Of status and audits.
json::Array CoordinatorMachine::absent_nodes() const {
  json::Array list;
  for (const AbsentNode& absent : known_nodes_.absent(run_ids_.unseen())) {
    json::Object node;
    node.set("node", absent.id.name);
    node.set("name", json::clean_text(absent.name, cause_bytes_max));
    node.set("why", json::clean_text(absent.why, cause_bytes_max));
    list.emplace_back(std::move(node));
  }
  return list;
}

}  // namespace forerun
