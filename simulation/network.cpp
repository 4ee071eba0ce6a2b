#include "simulation/network.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace forerun::simulation {
namespace {

std::string tokens_of(const std::vector<BranchToken>& tokens) {
  std::string text;
  for (const BranchToken token : tokens) {
    text += ' ' + to_string(token);
  }
  return text;
}

std::string head_of(const LedgerHead& head) {
  return std::to_string(head.size) + '/' + to_hex(head.root).substr(0, 12);
}

struct Describer {
  std::string operator()(const Join& m) const {
    std::string text = "join instance " + std::to_string(m.instance) + " head " + head_of(m.head);
    for (const WorkerOffer& offer : m.workers) {
      text += " mark " + std::to_string(offer.run_mark);
    }
    return text;
  }
  std::string operator()(const Heartbeat& m) const {
    return "heartbeat epoch " + to_string(m.epoch) + " head " + head_of(m.head) + " running" +
           tokens_of(m.running) + " finished" + tokens_of(m.finished);
  }
  std::string operator()(const BranchEnded& m) const {
    return "ended epoch " + to_string(m.epoch) + " branch " + to_string(m.token) + " as " +
           std::to_string(static_cast<int>(m.ending)) + ' ' + m.output + m.cause;
  }
  std::string operator()(const FetchEntries& m) const { return "fetch " + to_string(m.from); }
  std::string operator()(const MarkStored& m) const { return "mark " + std::to_string(m.mark); }
  std::string operator()(const Diverged& m) const { return "diverged " + m.why; }
  std::string operator()(const ReplicaAudited& m) const {
    return "audited " + head_of(m.head) + " " + m.problem;
  }
  std::string operator()(const ReplicaEntries& m) const {
    return "replica " + (*this)(m.entries);
  }
  std::string operator()(const FetchReplica& m) const {
    return "fetch replica " + to_string(m.from);
  }
  std::string operator()(const AuditReplica& m) const { return "audit " + to_string(m.audit); }
  std::string operator()(const Welcome& m) const {
    return "welcome epoch " + to_string(m.epoch) + " head " + head_of(m.head.head);
  }
  std::string operator()(const JoinRefused& m) const { return "refused " + m.why; }
  std::string operator()(const JoinAgain& m) const { return "join again " + to_string(m.epoch); }
  std::string operator()(const Dispatch& m) const {
    return "dispatch branch " + to_string(m.token) + " run " +
           std::to_string(m.owner.run_id.counter) +
           (m.owner.step ? " step " + to_string(*m.owner.step) : std::string()) +
           (m.owner.speculation ? " speculation " + to_string(*m.owner.speculation)
                                : std::string()) +
           ' ' + m.task + m.input + m.outside_key;
  }
  std::string operator()(const ConfirmBranch& m) const {
    return "confirm branch " + to_string(m.token) + " step " + to_string(m.step);
  }
  std::string operator()(const CancelBranch& m) const {
    return "cancel branch " + to_string(m.token);
  }
  std::string operator()(const ResendResult& m) const {
    return "resend branch " + to_string(m.token);
  }
  std::string operator()(const ReserveRunIds& m) const {
    return "reserve " + std::to_string(m.mark);
  }
  std::string operator()(const Entries& m) const {
    std::string text = "entries from " + to_string(m.first);
    for (const EntryRecord& record : m.records) {
      text += '\n' + record.leaf;
    }
    return m.head ? text + "\nhead " + head_of(m.head->head) : text;
  }
};

}  // namespace

std::string describe(const NodeMessage& message) {
  return std::visit(Describer{}, message);
}
std::string describe(const CoordinatorMessage& message) {
  return std::visit(Describer{}, message);
}

Instant Network::arrival(Instant& last) {
  last = std::max(last, env_.time.now() + env_.around(env_.weather.link_median));
  return last;
}

void Network::send(std::size_t node, NodeMessage message) {
  Link& link = links_[node];
  if (!is_through(link)) {
    if (link.held.size() < held_max) {
      link.held.push_back(std::move(message));
    }
    return;
  }
  env_.time.at(arrival(link.to_coordinator),
               [this, node, generation = link.generation, connection = link.connection,
                sent = std::move(message)] {
                 if (links_[node].generation == generation) {
                   env_.time.note("node " + std::to_string(node) + " > " + describe(sent));
                   ports_.to_coordinator(connection, node, sent);
                 }
               });
}

void Network::send(ConnectionId connection, CoordinatorMessage message) {
  for (std::size_t node = 0; node < links_.size(); ++node) {
    Link& link = links_[node];
    if (link.connection != connection || !is_through(link)) {
      continue;
    }
    env_.time.at(arrival(link.to_node),
                 [this, node, generation = link.generation, sent = std::move(message)] {
                   if (links_[node].generation == generation) {
                     env_.time.note("node " + std::to_string(node) + " < " + describe(sent));
                     ports_.to_node(node, sent);
                   }
                 });
    return;
  }
}

void Network::publish(const Entries& entries) {
  for (std::size_t node = 0; node < links_.size(); ++node) {
    Link& link = links_[node];
    if (!link.is_subscribed || !is_through(link) || env_.strikes(env_.weather.publication_loss)) {
      continue;
    }
    env_.time.at(arrival(link.published), [this, node, generation = link.generation, entries] {
      if (links_[node].generation == generation) {
        const CoordinatorMessage sent(entries);
        env_.time.note("node " + std::to_string(node) + " << " + describe(sent));
        ports_.to_node(node, sent);
      }
    });
  }
}

void Network::lose_connection(Link& link) {
  ++link.generation;
  const ConnectionId lost = std::exchange(link.connection, ConnectionId{});
  if (is_coordinator_up_ && lost.value != 0 && env_.prng.chance(0.5)) {
    env_.time.after(env_.between(Duration(100), std::chrono::milliseconds(50)), [this, lost] {
      env_.time.note("unreachable " + to_string(lost));
      ports_.unreachable(lost);
    });
  }
}

void Network::reconnect(std::size_t node) {
  Link& link = links_[node];
  if (!is_through(link)) {
    return;
  }
  link.connection = ConnectionId{next_connection_++};
  std::vector<NodeMessage> held = std::move(link.held);
  link.held.clear();
  if (env_.prng.chance(0.5)) {
    for (NodeMessage& message : held) {
      send(node, std::move(message));
    }
  }
}

void Network::node_is_up(std::size_t node) {
  links_[node].is_node_up = true;
  reconnect(node);
}

void Network::node_is_down(std::size_t node) {
  Link& link = links_[node];
  link.is_node_up = false;
  link.is_subscribed = false;
  link.held.clear();
  lose_connection(link);
}

void Network::coordinator_is_up() {
  is_coordinator_up_ = true;
  for (std::size_t node = 0; node < links_.size(); ++node) {
    reconnect(node);
  }
}

void Network::coordinator_is_down() {
  is_coordinator_up_ = false;
  for (Link& link : links_) {
    lose_connection(link);
  }
}

void Network::break_link(std::size_t node) {
  lose_connection(links_[node]);
  reconnect(node);
}

void Network::cut(std::size_t node) {
  links_[node].is_cut = true;
  lose_connection(links_[node]);
}

void Network::heal(std::size_t node) {
  links_[node].is_cut = false;
  if (links_[node].connection.value == 0) {
    reconnect(node);
  }
}

}  // namespace forerun::simulation
