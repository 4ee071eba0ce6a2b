#include "coordinator/membership.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "base/prng.hpp"

namespace forerun {

Membership::Verdict Membership::judge(Instant now, ConnectionId connection, const NodeId& node,
                                      const Join& join) {
  if (join.protocol != protocol_version) {
    return {Admission::refuse,
            "join: node " + join.name + ": protocol " + std::to_string(join.protocol) +
                ", expected " + std::to_string(protocol_version) +
                ": run the same version on coordinator and nodes",
            {}};
  }
  if (join.workers.empty() || join.workers.size() > workers_per_node_max) {
    return {Admission::refuse,
            "join: node " + join.name + ": " + std::to_string(join.workers.size()) +
                " workers, expected 1 to " + std::to_string(workers_per_node_max),
            {}};
  }
  std::optional<NodeId> rival;
  for (const WorkerOffer& offer : join.workers) {
    if (offer.slots == 0 || offer.slots > slots_per_worker_max) {
      return {Admission::refuse,
              "join: worker " + to_string(offer.worker) + ": " + std::to_string(offer.slots) +
                  " slots, expected 1 to " + std::to_string(slots_per_worker_max),
              {}};
    }
    const auto seat = workers_.find(offer.worker);
    if (seat != workers_.end() && seat->second.node != node) {
      rival = seat->second.node;
    }
  }
  const auto known = nodes_.find(node);
  if (!rival && known != nodes_.end()) {
    if (known->second.instance == join.instance) {
      forget_waiting(connection);
      return {Admission::reconnect, "", {}};
    }
    rival = node;
  }
  if (!rival) {
    forget_waiting(connection);
    if (nodes_.size() >= settings_.nodes_max) {
      return {
          Admission::refuse,
          "join: " + std::to_string(nodes_.size()) + " nodes are in, expected at most that many",
          {}};
    }
    return {};
  }
  // Two processes claim one identity. A restarted node's old self falls silent; a copy's rival goes
  // on beating.
  const NodeSeat& seat = nodes_.at(*rival);
  const auto waiting = std::find_if(waiting_.begin(), waiting_.end(),
                                    [&](const Waiting& w) { return w.connection == connection; });
  if (waiting == waiting_.end()) {
    if (waiting_.size() < settings_.nodes_max) {
      waiting_.push_back({connection, node, join, now});
    }
    return {Admission::wait, "", *rival};
  }
  const Instant since = waiting->since;
  if (seat.heard > since) {
    waiting_.erase(waiting);
    return {Admission::refuse,
            "join: worker " + to_string(join.workers.front().worker) +
                " is already served by the live node " + seat.name + " (" + seat.id.name +
                "): stop that one, or give this node a data directory of its own",
            {}};
  }
  if (now - since < settings_.copy_wait) {
    return {Admission::wait, "", {}};
  }
  waiting_.erase(waiting);
  return {Admission::welcome, "", rival};
}

void Membership::forget_waiting(ConnectionId connection) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.connection == connection; });
}

void Membership::seat(Instant now, ConnectionId connection, const NodeId& node, const Join& join) {
  NodeSeat& seat = nodes_[node];
  by_connection_.erase(seat.connection);
  seat.id = node;
  seat.name = join.name;
  seat.version = join.version;
  seat.instance = join.instance;
  seat.connection = connection;
  seat.is_live = true;
  seat.heard = now;
  seat.head = join.head;
  by_connection_[connection] = node;
  for (const WorkerOffer& offer : join.workers) {
    const auto [at, is_new] = workers_.try_emplace(offer.worker);
    if (is_new) {
      at->second = {offer.worker, node, is_quarantined(node) ? 0 : offer.slots, 0, 0, {}};
      seat.workers.push_back(offer.worker);
      slots_total_ += at->second.slots;
    }
  }
}

std::vector<Membership::Waiting> Membership::take_waiting(Instant now) {
  std::vector<Waiting> due;
  for (const Waiting& waiting : waiting_) {
    const auto rival =
        std::find_if(waiting.join.workers.begin(), waiting.join.workers.end(),
                     [&](const WorkerOffer& offer) { return workers_.contains(offer.worker); });
    const bool is_free = rival == waiting.join.workers.end();
    const bool was_heard =
        !is_free && nodes_.at(workers_.at(rival->worker).node).heard > waiting.since;
    if (is_free || was_heard || now - waiting.since >= settings_.copy_wait) {
      due.push_back(waiting);
    }
  }
  return due;
}

NodeSeat* Membership::by_connection(ConnectionId connection) {
  const auto at = by_connection_.find(connection);
  return at == by_connection_.end() ? nullptr : find(at->second);
}

NodeSeat* Membership::find(const NodeId& node) {
  const auto at = nodes_.find(node);
  return at == nodes_.end() ? nullptr : &at->second;
}

std::vector<NodeId> Membership::silent(Instant now) const {
  std::vector<NodeId> result;
  for (const auto& [id, seat] : nodes_) {
    if (now - seat.heard >= settings_.silence_max) {
      result.push_back(id);
    }
  }
  return result;
}

std::vector<BranchToken> Membership::lose(const NodeId& node) {
  const auto at = nodes_.find(node);
  if (at == nodes_.end()) {
    return {};
  }
  std::vector<BranchToken> tokens(at->second.tokens.begin(), at->second.tokens.end());
  for (const WorkerId& id : at->second.workers) {
    const WorkerSeat& seat = workers_.at(id);
    slots_total_ -= seat.slots;
    slots_busy_ -= seat.busy;
    workers_.erase(id);
  }
  by_connection_.erase(at->second.connection);
  nodes_.erase(at);
  return tokens;
}

void Membership::quarantine(const NodeId& node) {
  quarantined_.insert(node);
  const auto at = nodes_.find(node);
  if (at == nodes_.end()) {
    return;
  }
  for (const WorkerId& id : at->second.workers) {
    slots_total_ -= std::exchange(workers_.at(id).slots, 0);
  }
}

std::optional<Instant> Membership::next_deadline() const {
  std::optional<Instant> earliest;
  const auto take = [&](Instant at) {
    if (!earliest || at < *earliest) {
      earliest = at;
    }
  };
  for (const auto& [id, seat] : nodes_) {
    take(seat.heard + settings_.silence_max);
  }
  for (const Waiting& waiting : waiting_) {
    take(waiting.since + settings_.copy_wait);
  }
  return earliest;
}

const WorkerSeat* Membership::worker(const WorkerId& id) const {
  const auto at = workers_.find(id);
  return at == workers_.end() ? nullptr : &at->second;
}

std::vector<WorkerId> Membership::live_workers() const {
  std::vector<WorkerId> result;
  result.reserve(workers_.size());
  for (const auto& [id, seat] : workers_) {
    if (seat.slots > 0) {
      result.push_back(id);
    }
  }
  return result;
}

std::optional<WorkerId> Membership::place(std::uint64_t ledger_size, const Wish& wish) const {
  const WorkerSeat* best = nullptr;
  std::uint64_t best_free = 0;
  const auto drawn = [&wish](const WorkerSeat& seat) {
    std::uint64_t bits = wish.draw;
    for (const std::uint8_t byte : seat.id.uuid.bytes) {
      bits = bits * 31 + byte;
    }
    return Prng(bits).next();
  };
  for (const auto& [id, seat] : workers_) {
    if (seat.busy >= seat.slots ||
        std::find(wish.but.begin(), wish.but.end(), seat.node) != wish.but.end()) {
      continue;
    }
    const LedgerHead& head = nodes_.at(seat.node).head;
    if (head.size + settings_.lag_entries_max < ledger_size) {
      continue;
    }
    const bool is_cold = wish.warm != nullptr && !wish.warm->contains(id);
    const std::uint32_t lacking = seat.busy + still_outrun(seat, wish.now);
    const std::uint64_t free =
        std::uint64_t{seat.slots - std::min(seat.slots, lacking)} * (is_cold ? 1 : 2);
    // Shares are compared without division.
    if (best == nullptr || free * best->slots > best_free * seat.slots ||
        (free * best->slots == best_free * seat.slots && drawn(seat) > drawn(*best))) {
      best = &seat;
      best_free = free;
    }
  }
  return best == nullptr ? std::nullopt : std::optional<WorkerId>(best->id);
}

void Membership::outrun(const WorkerId& id, Instant now) {
  if (const auto at = workers_.find(id); at != workers_.end()) {
    WorkerSeat& seat = at->second;
    seat.outrun = std::min(2 * seat.slots, still_outrun(seat, now) + 1);
    seat.outrun_at = now;
  }
}

std::uint32_t Membership::still_outrun(const WorkerSeat& seat, Instant now) const {
  if (seat.outrun == 0) {
    return 0;
  }
  const auto forgotten = (now - seat.outrun_at) / settings_.outrun_forgotten;
  return forgotten >= seat.outrun ? 0 : seat.outrun - static_cast<std::uint32_t>(forgotten);
}

void Membership::occupy(const WorkerId& id, BranchToken token) {
  WorkerSeat& seat = workers_.at(id);
  FORERUN_ASSERT(seat.busy < seat.slots);
  ++seat.busy;
  ++slots_busy_;
  nodes_.at(seat.node).tokens.insert(token);
}

void Membership::release(const WorkerId& id, BranchToken token) {
  const auto at = workers_.find(id);
  if (at == workers_.end() || nodes_.at(at->second.node).tokens.erase(token) == 0) {
    return;  // The node was lost in between; its slots went with it.
  }
  FORERUN_ASSERT(at->second.busy > 0);
  --at->second.busy;
  --slots_busy_;
}

}  // namespace forerun
