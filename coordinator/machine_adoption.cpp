#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "coordinator/machine.hpp"
#include "speculation/planted.hpp"

namespace forerun {

/// Before the term is open and durable only nodes are listened to; the rest waits its turn. How
/// much that is, the gateway's connections and the nodes that may join bound. A node that heard of
/// a term which a crash then undid would take the next one, of the same number, for it: its results
/// would answer other branches.
void CoordinatorMachine::gather(const CoordinatorInput& input) {
  const auto* unreachable = std::get_if<NodeUnreachable>(&input);
  if (unreachable != nullptr) {
    joins_.erase(unreachable->connection);
  }
  const auto* said = std::get_if<NodeSaid>(&input);
  if (said != nullptr && std::holds_alternative<Join>(said->message)) {
    joins_.insert_or_assign(said->connection, *said);
  }
  const auto* allowed = std::get_if<NodesAllowed>(&input);
  if (allowed != nullptr) {
    on(*allowed);
  }
  if (!adoption_) {
    if (const auto* persisted = std::get_if<Persisted>(&input)) {
      on(*persisted);
      end_gathering();
    } else if (said == nullptr && allowed == nullptr) {
      deferred_.push_back(input);
    }
  } else if (allowed != nullptr) {
    std::set<NodeId> nodes;
    for (const auto& [node, name] : allowed->names) {
      nodes.insert(node);
    }
    adoption_->expect(std::move(nodes));
  } else if (said != nullptr) {
    gather(*said);
  } else if (unreachable != nullptr) {
    adoption_->lost(unreachable->connection);
  } else if (!std::holds_alternative<TimePassed>(input)) {
    deferred_.push_back(input);
  }
}

/// A node that is still in the last term is asked to join, so that it has a seat when the first
/// client is served. Whatever else one says is of a term that is over.
void CoordinatorMachine::gather(const NodeSaid& said) {
  if (const auto* join = std::get_if<Join>(&said.message)) {
    adoption_->heard(said.connection, said.node, join->head, join->epoch);
  } else if (const auto* beat = std::get_if<Heartbeat>(&said.message)) {
    out_.send.push_back({said.connection, JoinAgain{beat->epoch}});
  } else if (const auto* page = std::get_if<ReplicaEntries>(&said.message)) {
    adoption_->answered(said.node, page->entries);
  }
}

void CoordinatorMachine::adopt() {
  if (const auto question = adoption_->next(now_)) {
    out_.send.push_back({question->connection, FetchReplica{question->from}});
  }
  for (std::string& line : adoption_->take_log()) {
    out_.log.push_back(std::move(line));
  }
  if (!adoption_->is_done(now_)) {
    return;
  }
  const Epoch highest = adoption_->highest_epoch();
  std::vector<StoredEntry> adopted = adoption_->take_entries();
  adoption_.reset();
  open_term(highest, std::move(adopted));
}

void CoordinatorMachine::end_gathering() {
  is_gathering_ = false;
  for (const auto& [connection, join] : std::exchange(joins_, {})) {
    on(join);
  }
  for (const CoordinatorInput& input : std::exchange(deferred_, {})) {
    std::visit([this](const auto& body) { on(body); }, input);
  }
}

/// Continues the ledger with what its own key has signed. No node holds outputs, so a session whose
/// later steps are known by their entries alone cannot go on as it was: it ends.
void CoordinatorMachine::take_over(std::vector<StoredEntry> adopted) {
  std::set<RunId> continued;
  std::map<WorkerId, std::uint64_t> marks;
  for (StoredEntry& entry : adopted) {
    ledger_.restore(entry);
    if (entry.run_id) {
      std::uint64_t& mark = marks[entry.run_id->home];
      mark = std::max(mark, entry.run_id->counter);
    }
    if (entry.step) {
      continued.insert(*entry.run_id);
    }
    batch_.entries.push_back(std::move(entry));
  }
  for (const auto& [worker, mark] : marks) {
    run_ids_.restore({worker, mark});
    batch_.marks.push_back({worker, mark});
  }
  for (const RunId& run_id : continued) {
    const auto at = sessions_.find(run_id);
    const bool was_open = at != sessions_.end() && !at->second.is_ended;
    if (was_open && !planted(Bug::adopted_session_goes_on)) {
      for (const OpenStep& step : at->second.open) {
        forget_bytes(step);
      }
      at->second.open.clear();
      at->second.requests.clear();
      close(at->second);
    }
    out_.log.push_back("session " + to_string(run_id) +
                       (was_open ? ": ended: " : ": not known here any more: ") +
                       "steps of it were adopted, and no node holds their outputs; what they asked "
                       "to be done outside is not done again");
  }
}

}  // namespace forerun
