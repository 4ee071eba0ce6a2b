#include "storage/memory_store.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "base/assert.hpp"
#include "storage/recovered_texts.hpp"
#include "storage/rules.hpp"
#include "storage/session_part.hpp"
#include "storage/store_file.hpp"

namespace forerun {

namespace {

/// Runs `write`, or what an injected failure makes of it.
Result<void> write_or_fail(std::optional<FailedWrite>& failure, Result<void>& usable,
                           const std::function<void()>& write) {
  if (!usable) {
    return usable;
  }
  if (!failure || *failure == FailedWrite::is_kept) {
    write();
  }
  if (failure) {
    failure.reset();
    usable = fail(Errc::io, "memory store: injected failure");
  }
  return usable;
}

/// As a file keeps numbers.
Result<void> check_mark(const MarkRow& row) {
  if (row.mark > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return fail(Errc::invalid, "memory store: number: found " + std::to_string(row.mark) +
                                   ", expected less than 2^63");
  }
  return {};
}

template <class Entries>
Result<std::vector<StoredEntry>> read_entries(const Entries& entries, Seq from, std::size_t count,
                                              bool whole) {
  EntryReader reader(from, count);
  for (std::uint64_t seq = from.value; reader.count() > 0 && seq < entries.size(); ++seq) {
    const StoredEntry& entry = entries[seq];
    StoredEntry read = entry;
    if (!whole) {
      read = {};
      read.seq = entry.seq;
      read.epoch = entry.epoch;
      read.leaf = entry.leaf;
      read.call = entry.call;
    }
    if (!reader.add(std::move(read))) {
      break;
    }
  }
  return reader.take();
}

bool is_opening(const KeyRow& key) {
  return key.scope.starts_with("open:");
}

}  // namespace

Result<CoordinatorRecovery> MemoryCoordinatorStore::recover(
    const std::function<void(const StoredEntry&)>& visit) {
  for (const StoredEntry& entry : entries_) {
    visit(entry);
  }
  CoordinatorRecovery recovery;
  recovery.epoch = epoch_;
  recovery.head = head_;
  recovery.signed_head = signed_head_;
  for (const auto& [run_id, session] : sessions_) {
    if (!session.ended) {
      recovery.sessions.push_back(session);
    }
  }
  RecoveredTexts texts;
  for (const auto& [place, text] : session_texts_) {
    const auto session = sessions_.find(text.run_id);
    if (session != sessions_.end() && !session->second.ended) {
      texts.add(text);
    }
  }
  std::move(texts).put_into(recovery);
  std::map<std::uint64_t, const KeyRow*> openings;
  for (const auto& [name, key] : keys_) {
    const auto session = sessions_.find(key.row.run_id);
    if (is_opening(key.row)) {
      openings.emplace(key.number, &key.row);
    } else if (session == sessions_.end() || !session->second.ended) {
      recovery.keys.push_back(key.row);
    }
  }
  for (const auto& [number, key] : openings) {
    recovery.keys.push_back(*key);
  }
  for (const auto& [place, intent] : intents_) {
    recovery.intents.push_back(intent);
  }
  for (const auto& [worker, mark] : marks_) {
    recovery.marks.push_back({worker, mark});
  }
  for (const auto& [worker, owner] : owners_) {
    recovery.owners.push_back(owner);
  }
  recovery.quarantined.assign(quarantined_.begin(), quarantined_.end());
  for (const auto& [number, row] : history_) {
    recovery.history.push_back(row.entry);
  }
  for (const auto& [id, effect] : effects_) {
    recovery.effects.push_back(effect);
  }
  writer_epoch_ = epoch_;
  return recovery;
}

Result<void> MemoryCoordinatorStore::drop_opening_keys(std::size_t keys_max) {
  std::map<std::string, std::map<std::uint64_t, std::string>> tenants;  // By age, oldest first.
  std::size_t count = 0;
  for (const auto& [name, key] : keys_) {
    if (is_opening(key.row)) {
      tenants[name.first].emplace(key.number, name.second);
      ++count;
    }
  }
  const auto most = [](const auto& one, const auto& other) {
    if (one.second.size() != other.second.size() || one.second.empty()) {
      return one.second.size() < other.second.size();
    }
    return one.second.begin()->first > other.second.begin()->first;
  };
  if (count <= keys_max) {
    return {};
  }
  auto fenced = store_rules::check_epoch(writer_epoch_, epoch_);
  return fenced ? write_through([&] {
    for (; count > keys_max; --count) {
      auto& [scope, keys] = *std::max_element(tenants.begin(), tenants.end(), most);
      keys_.erase({scope, keys.begin()->second});
      keys.erase(keys.begin());
    }
  })
                : fenced;
}

Result<void> MemoryCoordinatorStore::check(std::span<const CoordinatorBatch> batches) const {
  Epoch epoch = epoch_;
  std::uint64_t size = entries_.size();
  std::map<RunId, std::uint32_t> last_steps;
  for (const CoordinatorBatch& batch : batches) {
    Result<void> good = store_rules::check_epoch(batch.epoch, epoch);
    if (good) {
      good = store_rules::check_batch(batch, size);
    }
    for (const MarkRow& mark : batch.marks) {
      good = good ? check_mark(mark) : good;
    }
    if (!good) {
      return good;
    }
    for (const StoredEntry& entry : batch.entries) {
      if (!entry.step) {
        continue;
      }
      std::optional<std::uint32_t> last;
      if (const auto at = last_steps.find(*entry.run_id); at != last_steps.end()) {
        last = at->second;
      } else if (const auto stored = steps_.find(*entry.run_id); stored != steps_.end()) {
        last = stored->second.back().first.value;
      }
      if (auto next = store_rules::check_step(*entry.run_id, *entry.step, last); !next) {
        return next;
      }
      last_steps[*entry.run_id] = entry.step->value;
    }
    epoch = batch.epoch;
    size += batch.entries.size();
  }
  return {};
}

Result<void> MemoryCoordinatorStore::persist(std::span<const CoordinatorBatch> batches) {
  Result<void> checked = usable_ ? check(batches) : usable_;
  if (!checked || batches.empty()) {
    return checked;
  }
  return write_through([&] {
    for (const CoordinatorBatch& batch : batches) {
      apply(batch);
    }
    writer_epoch_ = epoch_;
  });
}

Result<void> MemoryCoordinatorStore::write_through(const std::function<void()>& write) {
  auto written = write_or_fail(next_failure_, usable_, write);
  sync_count_ += written ? 1 : 0;
  return written;
}

void MemoryCoordinatorStore::apply(const CoordinatorBatch& batch) {
  epoch_ = batch.epoch;
  if (!batch.entries.empty()) {
    head_ = batch.head;
  }
  if (batch.signed_head) {
    signed_head_ = batch.signed_head;
  }
  for (const SessionRow& session : batch.sessions) {
    sessions_.insert_or_assign(session.run_id, session);
  }
  for (const StoredEntry& entry : batch.entries) {
    if (entry.step) {
      auto& steps = steps_[*entry.run_id];
      const std::pair place(*entry.step, entries_.size());
      steps.insert(steps.empty() || steps.back() < place
                       ? steps.end()
                       : std::lower_bound(steps.begin(), steps.end(), place),
                   place);
    }
    entries_.push_back(entry);
  }
  for (const TextRow& text : batch.texts) {
    session_texts_.insert_or_assign({text.run_id, text.place}, text);
  }
  for (const KeyRow& key : batch.keys) {
    keys_.insert_or_assign({key.scope, key.key}, Key{keys_put_++, key});
  }
  for (const IntentRow& intent : batch.intents) {
    intents_.insert_or_assign({intent.run_id, intent.step}, intent);
    drop_obsolete_intents(intent.run_id);
  }
  for (const SessionRow& session : batch.sessions) {
    drop_obsolete_intents(session.run_id);
  }
  for (const MarkRow& row : batch.marks) {
    std::uint64_t& mark = marks_[row.worker];
    mark = std::max(mark, row.mark);
  }
  for (const OwnerRow& row : batch.owners) {
    owners_.insert_or_assign(row.worker, row);
  }
  quarantined_.insert(batch.quarantined.begin(), batch.quarantined.end());
  for (const std::uint64_t number : batch.forgotten) {
    history_.erase(number);
  }
  for (const HistoryRow& row : batch.history) {
    history_.insert_or_assign(row.entry.number, row);
  }
  for (const EffectRow& effect : batch.effects) {
    effects_.insert_or_assign(effect.id, effect);
  }
  for (const EffectId& id : batch.effects_ended) {
    effects_.erase(id);
  }
}

void MemoryCoordinatorStore::drop_obsolete_intents(const RunId& run_id) {
  const auto session = sessions_.find(run_id);
  if (session != sessions_.end()) {
    intents_.erase(intents_.lower_bound({run_id, StepNumber{0}}),
                   intents_.lower_bound({run_id, StepNumber{session->second.next_step}}));
  }
}

Result<std::vector<StoredEntry>> MemoryCoordinatorStore::read(Seq from, std::size_t count,
                                                              bool whole) {
  return read_entries(entries_, from, count, whole);
}

Result<SessionRow> MemoryCoordinatorStore::session_row(const RunId& run_id) {
  const auto session = sessions_.find(run_id);
  if (session == sessions_.end()) {
    return fail(Errc::not_found, "memory store: there is no session " + to_string(run_id));
  }
  return session->second;
}

Result<std::optional<KeyRow>> MemoryCoordinatorStore::key(const RunId& run_id,
                                                          const std::string& key) {
  const auto found = keys_.find({to_string(run_id), key});
  return found == keys_.end() ? std::nullopt : std::optional(found->second.row);
}

Result<std::vector<StoredEntry>> MemoryCoordinatorStore::steps(const RunId& run_id,
                                                               StepNumber first,
                                                               std::uint32_t count) {
  std::vector<StoredEntry> found;
  const auto steps = steps_.find(run_id);
  if (steps == steps_.end()) {
    return found;
  }
  const std::uint64_t end = std::uint64_t{first.value} + count;
  for (auto at = std::lower_bound(steps->second.begin(), steps->second.end(),
                                  std::pair(first, std::size_t{0}));
       at != steps->second.end() && at->first.value < end; ++at) {
    found.push_back(entries_[at->second]);
  }
  return found;
}

Result<CoordinatorStore::SessionRecord> MemoryCoordinatorStore::session(const RunId& run_id,
                                                                        const SessionPart& part) {
  auto row = session_row(run_id);
  if (!row) {
    return tl::unexpected(row.error());
  }
  SessionPartReader reader(std::move(*row), part,
                           [this](Seq seq) -> Result<StoredEntry> { return entries_[seq.value]; });
  for (const StoredEntry& entry : entries_) {
    if (entry.run_id == run_id && !reader.add(entry.seq, entry.step)) {
      break;
    }
  }
  return reader.take();
}

Result<std::vector<HistoryRow>> MemoryCoordinatorStore::history(std::uint64_t first,
                                                                std::uint64_t last,
                                                                std::size_t steps) {
  std::vector<HistoryRow> rows;
  PageLimit limit(steps);
  for (auto at = history_.lower_bound(first); at != history_.end() && at->first < last; ++at) {
    rows.push_back(at->second);
    if (!limit.has_room_after(at->second.entry.steps, at->second.text.size())) {
      break;
    }
  }
  return rows;
}

Result<std::vector<CoordinatorStore::CommitRecord>> MemoryCoordinatorStore::commits(
    Seq from, Seq until, std::size_t count) {
  std::vector<CommitRecord> records;
  PageLimit limit(count);
  for (std::uint64_t seq = from.value; seq < std::min<std::uint64_t>(until.value, entries_.size());
       ++seq) {
    const StoredEntry& entry = entries_[seq];
    const auto session = entry.step ? sessions_.find(*entry.run_id) : sessions_.end();
    if (session == sessions_.end()) {
      continue;
    }
    const SessionRow& row = session->second;
    records.push_back({entry.seq,
                       *entry.run_id,
                       *entry.step,
                       row.ended && entry.step->value + 1 == row.next_step,
                       row.tenant,
                       entry.step->value == 0 ? row.context : std::string(),
                       entry.call,
                       entry.output,
                       entry.leaf,
                       {}});
    for (auto at = session_texts_.lower_bound({*entry.run_id, 0});
         at != session_texts_.end() && at->first.first == *entry.run_id; ++at) {
      if (at->second.before == *entry.step) {
        records.back().texts.push_back(at->second.text);
      }
    }
    if (!limit.has_room_after(1, records.back().bytes())) {
      break;
    }
  }
  return records;
}

Result<void> MemoryCoordinatorStore::put_text(const std::string& name, const std::string& text) {
  auto fenced = store_rules::check_epoch(writer_epoch_, epoch_);
  return fenced ? write_through([&] { texts_.insert_or_assign(name, text); }) : fenced;
}

Result<std::optional<std::string>> MemoryCoordinatorStore::text(const std::string& name) {
  const auto found = texts_.find(name);
  return found == texts_.end() ? std::optional<std::string>() : found->second;
}

void MemoryCoordinatorStore::crash() {
  next_failure_.reset();
  usable_ = {};
  writer_epoch_ = epoch_;
}

Result<ReplicaStore::Recovery> MemoryReplicaStore::recover(
    const std::function<void(const StoredEntry&)>& visit) {
  for (const StoredEntry& entry : entries_) {
    visit(entry);
  }
  return recovery_;
}

Result<void> MemoryReplicaStore::persist(const ReplicaBatch& batch) {
  Result<void> checked = usable_;
  if (checked) {
    checked = store_rules::check_epoch(batch.epoch.value_or(recovery_.epoch), recovery_.epoch);
  }
  if (checked) {
    checked = store_rules::check_entries(batch.entries, entries_.size());
  }
  return checked ? write_or_fail(next_failure_, usable_, [&] { apply(batch); }) : checked;
}

void MemoryReplicaStore::apply(const ReplicaBatch& batch) {
  for (const StoredEntry& entry : batch.entries) {
    StoredEntry kept;
    kept.seq = entry.seq;
    kept.epoch = entry.epoch;
    kept.leaf = entry.leaf;
    kept.call = entry.call;
    entries_.push_back(std::move(kept));
  }
  if (batch.head) {
    recovery_.head = batch.head;
  }
  if (batch.epoch && recovery_.epoch < *batch.epoch) {
    recovery_.epoch = *batch.epoch;
    sync();
  }
}

Result<std::vector<StoredEntry>> MemoryReplicaStore::read(Seq from, std::size_t count) {
  return read_entries(entries_, from, count, true);
}

Result<void> MemoryReplicaStore::reset() {
  return write_or_fail(next_failure_, usable_, [&] {
    entries_.clear();
    recovery_ = {};
    sync();
  });
}

void MemoryReplicaStore::crash(std::size_t kept) {
  FORERUN_ASSERT(kept <= unsynced());
  entries_.resize(durable_.size + kept);
  recovery_ = durable_.recovery;
  sync();
  next_failure_.reset();
  usable_ = {};
}

Result<void> MemoryIdentityStore::save(std::span<const MarkRow> workers) {
  for (const MarkRow& row : workers) {
    if (auto good = check_mark(row); !good) {
      return good;
    }
  }
  return write_or_fail(next_failure_, usable_, [&] {
    for (const MarkRow& row : workers) {
      const auto same = [&row](const MarkRow& other) { return other.worker == row.worker; };
      const auto known = std::find_if(identity_.workers.begin(), identity_.workers.end(), same);
      if (known == identity_.workers.end()) {
        identity_.workers.push_back(row);
      } else {
        known->mark = std::max(known->mark, row.mark);
      }
    }
  });
}

void MemoryIdentityStore::crash() {
  next_failure_.reset();
  usable_ = {};
}

}  // namespace forerun
