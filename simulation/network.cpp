#include "simulation/network.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace forerun::simulation {
namespace {

constexpr Duration delay_min = std::chrono::milliseconds(5);
constexpr Duration delay_max = std::chrono::milliseconds(800);

bool is_seldom(const NodeMessage& message) {
  return std::holds_alternative<ReplicaEntries>(message);
}
bool is_seldom(const CoordinatorMessage& message) {
  return std::holds_alternative<FetchReplica>(message);
}

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
  std::string operator()(const ReplicaEntries& m) const { return "replica " + (*this)(m.entries); }
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
    const std::string text =
        "entries from " + to_string(m.first) + ", " + std::to_string(m.records.size());
    return m.head ? text + " head " + head_of(m.head->head) : text;
  }
};

}  // namespace

std::string describe(const NodeMessage& message) {
  return std::visit(Describer{}, message);
}
std::string describe(const CoordinatorMessage& message) {
  return std::visit(Describer{}, message);
}

Instant Network::arrival(const Link& link, Instant& last) {
  last = std::max(last, env_.time.now() + env_.around(env_.weather.link_median) * link.slowness);
  return last;
}

template <class Message>
void Network::carry(std::size_t node, Instant& last, const Message& message) {
  // What is seldom sent gets more chances.
  const auto strikes = [&](Fault fault) {
    bool is_struck = env_.strikes(fault);
    for (int chance = 1; is_seldom(message) && chance < chances_when_rare; ++chance) {
      is_struck = is_struck || env_.strikes(fault);
    }
    return is_struck;
  };
  if (strikes(Fault::lost_message)) {
    env_.coverage.message(message, MessageFault::lost);
    return;
  }
  if (strikes(Fault::delayed_message)) {
    env_.coverage.message(message, MessageFault::overtaken);
    schedule(node, env_.time.now() + env_.between(delay_min, delay_max), message);
    return;
  }
  const Link& link = links_[node];
  if (strikes(Fault::duplicated_message)) {
    env_.coverage.message(message, MessageFault::duplicated);
    schedule(node, env_.time.now() + env_.between(delay_min, delay_max), message);
  }
  schedule(node, arrival(link, last), message);
}

void Network::schedule(std::size_t node, Instant at, NodeMessage message) {
  const Link& link = links_[node];
  env_.time.at(at, [this, node, generation = link.generation, connection = link.connection,
                    sent = std::move(message)] {
    if (links_[node].generation == generation) {
      env_.time.note("node " + std::to_string(node) + " > " + describe(sent));
      ports_.to_coordinator(connection, node, sent);
    } else {
      env_.coverage.message(
          sent, is_coordinator_up_ ? MessageFault::cut_off : MessageFault::receiver_down);
    }
  });
}

void Network::schedule(std::size_t node, Instant at, CoordinatorMessage message) {
  env_.time.at(at, [this, node, generation = links_[node].generation, sent = std::move(message)] {
    if (links_[node].generation == generation) {
      env_.time.note("node " + std::to_string(node) + " < " + describe(sent));
      ports_.to_node(node, sent);
    } else {
      env_.coverage.message(
          sent, links_[node].is_node_up ? MessageFault::cut_off : MessageFault::receiver_down);
    }
  });
}

void Network::send(std::size_t node, NodeMessage message) {
  Link& link = links_[node];
  if (is_seldom(message)) {
    ports_.adopts(node, true);
  }
  if (!is_through(link)) {
    if (link.waiting.size() < held_max) {
      link.waiting.push_back(std::move(message));
    }
  } else if (link.is_held_to_coordinator) {
    if (link.held_to_coordinator.size() < held_max) {
      link.held_to_coordinator.push_back(std::move(message));
    }
  } else {
    carry(node, link.to_coordinator, message);
  }
}

void Network::send(ConnectionId connection, CoordinatorMessage message) {
  for (std::size_t node = 0; node < links_.size(); ++node) {
    Link& link = links_[node];
    if (link.connection != connection || !is_through(link)) {
      continue;
    }
    if (is_seldom(message)) {
      ports_.adopts(node, false);
    }
    if (!link.is_held_to_node) {
      carry(node, link.to_node, message);
    } else if (link.held_to_node.size() < held_max) {
      link.held_to_node.push_back(std::move(message));
    }
    return;
  }
}

void Network::publish(const Entries& entries) {
  for (std::size_t node = 0; node < links_.size(); ++node) {
    Link& link = links_[node];
    if (!link.is_subscribed || !is_through(link) || link.is_held_to_node) {
      continue;
    }
    if (env_.strikes(Fault::lost_publication)) {
      env_.coverage.publication(MessageFault::lost);
      continue;
    }
    Instant at = arrival(link, link.published);
    if (env_.strikes(Fault::duplicated_message)) {
      env_.coverage.publication(MessageFault::duplicated);
      env_.time.at(at, [this, node, generation = link.generation, entries] {
        if (links_[node].generation == generation) {
          deliver_publication(node, entries);
        }
      });
    }
    if (env_.strikes(Fault::delayed_message)) {
      env_.coverage.publication(MessageFault::overtaken);
      at += env_.between(delay_min, delay_max);
    }
    env_.time.at(at, [this, node, generation = link.generation, entries] {
      if (links_[node].generation == generation) {
        deliver_publication(node, entries);
      } else {
        env_.coverage.publication(links_[node].is_node_up ? MessageFault::cut_off
                                                          : MessageFault::receiver_down);
      }
    });
  }
}

void Network::deliver_publication(std::size_t node, const Entries& entries) {
  const CoordinatorMessage sent(entries);
  env_.time.note("node " + std::to_string(node) + " << " + describe(sent));
  ports_.to_node(node, sent);
}

void Network::lose_connection(Link& link) {
  ++link.generation;
  for (const NodeMessage& message : link.held_to_coordinator) {
    env_.coverage.message(message, MessageFault::cut_off);
  }
  for (const CoordinatorMessage& message : link.held_to_node) {
    env_.coverage.message(message, MessageFault::cut_off);
  }
  link.held_to_coordinator.clear();
  link.held_to_node.clear();
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
  std::vector<NodeMessage> waiting = std::move(link.waiting);
  link.waiting.clear();
  if (env_.prng.chance(0.5)) {
    for (NodeMessage& message : waiting) {
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
  link.waiting.clear();
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

void Network::cut(std::size_t node, Cut cut) {
  Link& link = links_[node];
  switch (cut) {
    case Cut::both:
      link.is_cut = true;
      lose_connection(link);
      return;
    case Cut::to_node:
      link.is_held_to_node = true;
      return;
    case Cut::to_coordinator:
      link.is_held_to_coordinator = true;
      return;
  }
}

void Network::heal(std::size_t node) {
  Link& link = links_[node];
  link.is_cut = false;
  link.is_held_to_node = false;
  link.is_held_to_coordinator = false;
  const auto to_coordinator = std::exchange(link.held_to_coordinator, {});
  const auto to_node = std::exchange(link.held_to_node, {});
  for (const NodeMessage& message : to_coordinator) {
    env_.coverage.message(message, MessageFault::held);
    carry(node, link.to_coordinator, message);
  }
  for (const CoordinatorMessage& message : to_node) {
    env_.coverage.message(message, MessageFault::held);
    carry(node, link.to_node, message);
  }
  if (link.connection.value == 0) {
    reconnect(node);
  }
}

}  // namespace forerun::simulation
