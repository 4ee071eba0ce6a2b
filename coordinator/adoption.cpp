#include "coordinator/adoption.hpp"

#include <algorithm>
#include <utility>

#include "speculation/call.hpp"
#include "speculation/entry.hpp"

namespace forerun {
namespace {

std::string seconds(Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(duration).count()) + " s";
}

/// The call lies beside its entry, which vouches for it by its hash alone.
bool belongs_to(const std::string& call, const CommitEntry& commit) {
  const auto read = Call::parse(call);
  return read && read->hash() == commit.input_hash;
}

}  // namespace

Adoption::Adoption(AdoptionSettings settings, Instant now, merkle::Frontier own, Epoch epoch,
                   PublicKey key)
    : settings_(settings),
      waits_until_(now + settings.wait),
      key_(key),
      own_epoch_(epoch),
      tree_(std::move(own)),
      epoch_(epoch) {}

void Adoption::expect(std::set<NodeId> nodes) {
  expected_ = std::move(nodes);
}

void Adoption::heard(ConnectionId connection, const NodeId& node, const LedgerHead& head,
                     Epoch accepted) {
  const Epoch said = std::max(accepted, head.epoch);
  const bool is_new = !sources_.contains(node);
  if (said.value <= own_epoch_.value + settings_.epochs_max) {
    epoch_ = std::max(epoch_, said);
  } else if (is_new) {
    log_.push_back("node " + node.name + " says that it accepted epoch " + to_string(said) +
                   ", which is not believed: this store's is " + to_string(own_epoch_) +
                   ", expected at most " + std::to_string(settings_.epochs_max) + " more");
  }
  Source& source = sources_[node];
  if (source.connection != connection && reading_ && reading_->node == node) {
    reading_->is_asked = false;  // What it was asked is lost with its connection.
  }
  source.connection = connection;
  source.size = head.size;
}

void Adoption::lost(ConnectionId connection) {
  if (reading_ && sources_.at(reading_->node).connection == connection) {
    put_off("its connection was lost");
  }
}

std::map<NodeId, Adoption::Source>::iterator Adoption::best_source() {
  auto best = sources_.end();
  for (auto at = sources_.begin(); at != sources_.end(); ++at) {
    const Source& source = at->second;
    if (source.is_spent || source.size <= tree_.size()) {
      continue;
    }
    if (best == sources_.end() || source.tries < best->second.tries ||
        (source.tries == best->second.tries && source.size > best->second.size)) {
      best = at;
    }
  }
  return best;
}

std::optional<Adoption::Question> Adoption::next(Instant now) {
  if (reading_ && now >= *reads_until_) {
    give_up("its entries were not here " + seconds(settings_.reading_max) +
            " after the first question to a node");
  } else if (reading_ && reading_->is_asked && now - reading_->asked >= settings_.page_max) {
    put_off("it did not answer within " + seconds(settings_.page_max));
  }
  if (!reading_) {
    if (!was_heard(now)) {
      return std::nullopt;  // Of two histories the longer one is taken, whoever speaks first.
    }
    const auto source = best_source();
    if (source == sources_.end() || (reads_until_ && now >= *reads_until_)) {
      return std::nullopt;
    }
    if (!reads_until_) {
      reads_until_ = now + settings_.reading_max;
    }
    ++source->second.tries;
    reading_ = Reading{source->first, now, false, std::nullopt, tree_, {}};
  }
  if (reading_->is_asked) {
    return std::nullopt;
  }
  reading_->is_asked = true;
  reading_->asked = now;
  return Question{sources_.at(reading_->node).connection, Seq{reading_->tree.size()}};
}

bool Adoption::aim_at(const std::optional<SignedHead>& head) {
  if (!head || head->head.size <= tree_.size()) {
    give_up("none of its entries beyond the own " + std::to_string(tree_.size()) + " is signed");
    return false;
  }
  if (head->public_key != key_ || !verify_head(*head)) {
    give_up("the head of its " + std::to_string(head->head.size) +
            " entries is not signed by this ledger's key");
    return false;
  }
  if (head->head.size - tree_.size() > settings_.entries_max) {
    give_up("it is " + std::to_string(head->head.size - tree_.size()) +
            " entries ahead, more than " + std::to_string(settings_.entries_max) +
            ": put back a newer copy of the data folder");
    return false;
  }
  reading_->target = head->head;
  return true;
}

bool Adoption::add(const EntryRecord& record) {
  const auto entry = entry_of(record.leaf);
  if (!entry || entry->seq.value != reading_->tree.size()) {
    give_up("entry " + std::to_string(reading_->tree.size()) + ": " +
            (entry ? "found entry " + to_string(entry->seq) : entry.error().message));
    return false;
  }
  reading_->tree.append(merkle::leaf_hash(record.leaf));
  StoredEntry& stored = reading_->entries.emplace_back();
  stored.seq = entry->seq;
  stored.epoch = entry->epoch;
  stored.leaf = record.leaf;
  if (const auto* commit = std::get_if<CommitEntry>(&entry->body)) {
    stored.run_id = commit->run_id;
    stored.step = commit->step;
    if (belongs_to(record.call, *commit)) {
      stored.call = record.call;
    }
  } else if (const auto* discard = std::get_if<DiscardEntry>(&entry->body)) {
    stored.run_id = discard->run_id;
  }
  return true;
}

void Adoption::answered(const NodeId& node, const Entries& page) {
  if (!reading_ || reading_->node != node || !reading_->is_asked ||
      page.first.value != reading_->tree.size()) {
    return;
  }
  if (!reading_->target && !aim_at(page.head)) {
    return;
  }
  reading_->is_asked = false;
  const std::uint64_t size_before = reading_->tree.size();
  for (const EntryRecord& record : page.records) {
    if (reading_->tree.size() == reading_->target->size) {
      break;
    }
    if (!add(record)) {
      return;
    }
  }
  if (reading_->tree.size() < reading_->target->size) {
    if (reading_->tree.size() == size_before) {
      give_up("it sent nothing from entry " + std::to_string(size_before) + " on");
    }
    return;
  }
  if (reading_->tree.root() != reading_->target->root) {
    give_up("its ledger of " + std::to_string(reading_->target->size) +
            " entries does not continue this one; one of them was taken further after a copy was "
            "put back");
    return;
  }
  log_.push_back("adopted " + std::to_string(reading_->entries.size()) +
                 " entries that this store had lost, from node " + node.name +
                 ": signed up to entry " + std::to_string(reading_->target->size - 1));
  sources_.at(node).is_spent = true;
  tree_ = std::move(reading_->tree);
  std::move(reading_->entries.begin(), reading_->entries.end(), std::back_inserter(adopted_));
  reading_.reset();
}

void Adoption::give_up(const std::string& why) {
  Source& source = sources_.at(reading_->node);
  source.is_spent = true;
  log_.push_back("node " + reading_->node.name + " holds " + std::to_string(source.size) +
                 " entries, and nothing of them was adopted: " + why);
  reading_.reset();
}

void Adoption::put_off(const std::string& why) {
  if (sources_.at(reading_->node).tries >= settings_.tries_max) {
    give_up(why);
  } else {
    reading_.reset();
  }
}

bool Adoption::was_heard(Instant now) const {
  const bool all_were_heard =
      expected_ && std::all_of(expected_->begin(), expected_->end(),
                               [this](const NodeId& node) { return sources_.contains(node); });
  return all_were_heard || now >= waits_until_;
}

bool Adoption::is_done(Instant now) const {
  return !reading_ && was_heard(now);
}

Instant Adoption::deadline() const {
  return reading_ ? std::min(reading_->asked + settings_.page_max, *reads_until_) : waits_until_;
}

}  // namespace forerun
