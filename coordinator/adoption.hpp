#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ed25519.hpp"
#include "base/time.hpp"
#include "speculation/durable.hpp"
#include "speculation/ids.hpp"
#include "speculation/merkle.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

struct AdoptionSettings {
  /// How long a start waits for the nodes that may join; it ends as soon as all were heard. 0: no
  /// node is asked.
  Duration wait{};
  Duration page_max = std::chrono::seconds(2);  ///< A node that was asked must answer within this.
  Duration reading_max = std::chrono::minutes(2);  ///< From the first question on, of all nodes.
  std::uint32_t tries_max = 2;                     ///< Of a node that did not answer in time.
  std::uint64_t entries_max = 1'000'000;           ///< Held in memory until they are durable.
  /// A node that says that it accepted an epoch further ahead is not believed: nobody signed it,
  /// and numbers must not run out.
  std::uint64_t epochs_max = 1'000'000;
};

/// What a starting coordinator takes over from nodes: entries that its own key has signed and its
/// store has lost, as after a backup was put back (design.md §4.5). Nodes are heard, those that are
/// ahead are asked page by page, the longest first, and what continues the own ledger up to a head
/// with a good signature is adopted. Pure. Not thread-safe.
class Adoption {
public:
  struct Question {
    ConnectionId connection;
    Seq from;
  };

  /// `own` is the tree of what the store holds.
  Adoption(AdoptionSettings settings, Instant now, merkle::Frontier own, Epoch epoch,
           PublicKey key);

  /// Who may join, and so is waited for.
  void expect(std::set<NodeId> nodes);
  /// A node that wants to join told of its replica, and of the highest epoch that it accepted.
  void heard(ConnectionId connection, const NodeId& node, const LedgerHead& head, Epoch accepted);
  void answered(const NodeId& node, const Entries& page);
  void lost(ConnectionId connection);

  /// What to ask now, if anything. Call after every input, and at deadline().
  std::optional<Question> next(Instant now);
  /// Nothing is asked any more, and everyone was heard or was given the time.
  bool is_done(Instant now) const;
  Instant deadline() const;

  /// 1 + this is the epoch to open.
  Epoch highest_epoch() const { return epoch_; }
  /// Adopted, in order; without outputs, which no node holds.
  std::vector<StoredEntry> take_entries() { return std::move(adopted_); }
  /// For the operator.
  std::vector<std::string> take_log() { return std::exchange(log_, {}); }

private:
  struct Source {
    ConnectionId connection;
    std::uint64_t size = 0;
    std::uint32_t tries = 0;
    bool is_spent = false;  ///< It has nothing more to give.
  };
  struct Reading {
    NodeId node;
    Instant asked{};
    bool is_asked = false;             ///< A page is on its way.
    std::optional<LedgerHead> target;  ///< Signed; of the first page.
    merkle::Frontier tree;
    std::vector<StoredEntry> entries;
  };
  /// All who may join have spoken, or had the time.
  bool was_heard(Instant now) const;
  std::map<NodeId, Source>::iterator best_source();
  void give_up(const std::string& why);
  /// As give_up; what kept it from answering may pass.
  void put_off(const std::string& why);
  /// Whether the page's head may be followed.
  bool aim_at(const std::optional<SignedHead>& head);
  bool add(const EntryRecord& record);

  const AdoptionSettings settings_;
  const Instant waits_until_;
  const PublicKey key_;
  const Epoch own_epoch_;
  merkle::Frontier tree_;  ///< Own and adopted.
  Epoch epoch_;
  std::optional<std::set<NodeId>> expected_;
  std::map<NodeId, Source> sources_;
  std::optional<Reading> reading_;
  std::optional<Instant> reads_until_;  ///< Since the first question.
  std::vector<StoredEntry> adopted_;
  std::vector<std::string> log_;
};

}  // namespace forerun
