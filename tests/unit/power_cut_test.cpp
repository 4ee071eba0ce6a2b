// Random histories of writes, with the power cut at any write or sync: what was acknowledged is there, whole, and nothing of a
// batch without the rest of it. The model is the store in memory, which the simulator runs on.
#include <array>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>

#include "base/prng.hpp"
#include "storage/memory_store.hpp"
#include "storage/store_settings.hpp"
#include "store_values.hpp"

using namespace forerun;
using namespace forerun::store_values;

namespace {

constexpr std::size_t calls_max = 40;  // Of persist, put_text or drop_opening_keys, in one history.
constexpr int cuts_max = 4;            // Of one history's file.

/// One call of a store's user.
struct Write {
  std::vector<CoordinatorBatch> batches;       // Or, without any:
  std::optional<std::size_t> opening_keys{};   // To keep. Or:
  std::pair<std::string, std::string> text{};  // A text and its name.
};

Result<void> apply(CoordinatorStore& store, const Write& write) {
  if (!write.batches.empty()) {
    return store.persist(write.batches);
  }
  return write.opening_keys ? store.drop_opening_keys(*write.opening_keys)
                            : store.put_text(write.text.first, write.text.second);
}

/// Makes batches as a coordinator would: sessions that open, hear texts, step and end; keys of both, intents, marks, owners,
/// quarantine, effects and taught sessions.
class Writer {
public:
  explicit Writer(std::uint64_t seed) : prng_(seed) {}

  Write next() {
    Write write;
    if (size_ > 0 && prng_.chance(0.05)) {
      write.text = {"text-" + std::to_string(prng_.below(3)), filler()};
      return write;
    }
    if (opened_ > 0 && prng_.chance(0.05)) {
      write.opening_keys = prng_.below(opened_);
      return write;
    }
    for (std::uint64_t left = 1 + prng_.below(3); left > 0; --left) {
      write.batches.push_back(batch_of());
    }
    return write;
  }

private:
  std::string filler() { return std::string(prng_.chance(0.1) ? 40'000 : prng_.below(300), 'x'); }

  CoordinatorBatch batch_of() {
    CoordinatorBatch next;
    if (epoch_ == 0 || prng_.chance(0.03)) {
      ++epoch_;
      next.entries.push_back(epoch_entry(size_++, epoch_));
    }
    for (std::uint64_t left = prng_.below(4); left > 0; --left) {
      step(next);
    }
    if (prng_.chance(0.3)) {
      next.marks = {{worker(1), marks_ += prng_.below(100)}};
    }
    if (prng_.chance(0.2)) {
      // New ones, other names of a key, and other keys of a worker.
      const std::string node = "key-" + std::to_string(prng_.below(4));
      next.owners = {{worker(static_cast<std::uint8_t>(1 + prng_.below(5))), NodeId{node},
                      "node-" + std::to_string(prng_.below(2))}};
    }
    if (prng_.chance(0.05)) {
      next.quarantined = {NodeId{"key-" + std::to_string(prng_.below(4))}};
    }
    if (prng_.chance(0.1)) {
      HistoryRow row;
      row.text = filler() + "t";
      row.entry = {++taught_, "tenant", "taught " + std::to_string(taught_), Seq{size_}, 2, row.text.size(),
                   sha256(row.text)};
      next.history.push_back(row);
      if (taught_ > 3) {
        next.forgotten = {taught_ - 3};
      }
    }
    next.epoch = Epoch{epoch_};
    if (next.empty()) {
      next.marks = {{worker(2), marks_ + 1}};
    }
    return with_head(std::move(next));
  }

  /// One of the open sessions, or another one, which is then opened.
  RunId some_session(CoordinatorBatch& next) {
    const std::uint64_t which = prng_.below(open_sessions_max);
    if (which < steps_.size()) {
      return std::next(steps_.begin(), static_cast<std::ptrdiff_t>(which))->first;
    }
    const RunId run_id = run(++opened_);
    steps_[run_id] = 0;
    next.sessions.push_back(session(run_id, 0));
    if (prng_.chance(0.7)) {
      next.keys.push_back(key("open:tenant-" + std::to_string(prng_.below(2)),
                              "opening-" + std::to_string(opened_), run_id));
    }
    return run_id;
  }

  void hear(CoordinatorBatch& next, const RunId& run_id) {
    next.texts.push_back({run_id, StepNumber{steps_[run_id]}, texts_[run_id]++, filler()});
  }

  void step(CoordinatorBatch& next) {
    const RunId run_id = some_session(next);
    if (prng_.chance(0.3)) {
      hear(next, run_id);
    }
    std::uint32_t& steps = steps_[run_id];
    SessionRow row = session(run_id, ++steps);
    StoredEntry entry = commit(size_++, run_id, steps - 1);
    entry.epoch = Epoch{epoch_};
    entry.output += filler();
    next.entries.push_back(entry);
    if (prng_.chance(0.3)) {
      StoredEntry discard = commit(size_++, run_id, 0);
      discard.epoch = Epoch{epoch_};
      discard.step.reset();
      next.entries.push_back(discard);
    }
    if (prng_.chance(0.3)) {
      next.keys.push_back(key(to_string(run_id), "key-" + std::to_string(steps), run_id));
    }
    if (prng_.chance(0.2)) {
      next.intents.push_back(intent(run_id, steps));
    }
    if (prng_.chance(0.3)) {
      const EffectRow effect{{run_id, StepNumber{steps - 1}, 0}, "tenant", "key", "{}", false, 0, ""};
      next.effects.push_back(effect);
      effects_.push_back(effect.id);
    } else if (!effects_.empty() && prng_.chance(0.5)) {
      next.effects_ended.push_back(effects_.back());
      effects_.pop_back();
    }
    row.ended = prng_.chance(0.1);
    std::erase_if(next.sessions, [&](const SessionRow& other) { return other.run_id == run_id; });
    next.sessions.push_back(row);
    if (row.ended) {
      steps_.erase(run_id);
    } else if (prng_.chance(0.1)) {
      hear(next, run_id);  // No step may ever come after it.
    }
  }

  static constexpr std::uint64_t open_sessions_max = 6;
  Prng prng_;
  std::uint64_t size_ = 0;
  std::uint64_t epoch_ = 0;
  std::uint64_t marks_ = 0;
  std::uint64_t taught_ = 0;
  std::uint64_t opened_ = 0;
  std::map<RunId, std::uint32_t> steps_;  // Of open sessions.
  std::map<RunId, std::uint32_t> texts_;
  std::vector<EffectId> effects_;
};

std::string text_of(const StoredEntry& entry) {
  return std::to_string(entry.seq.value) + entry.leaf + entry.call + entry.output + entry.writes + entry.effects +
         (entry.run_id ? to_string(*entry.run_id) : "") + (entry.step ? std::to_string(entry.step->value) : "-");
}

/// All that a store gives back, as one text. Any read may find what a disk that lied has left.
Result<std::string> contents(CoordinatorStore& store) {
  std::string out;
  const auto recovered = store.recover([&](const StoredEntry& entry) { out += entry.leaf; });
  if (!recovered) {
    return tl::unexpected(recovered.error());
  }
  const CoordinatorRecovery& recovery = *recovered;
  out += "epoch " + std::to_string(recovery.epoch.value);
  if (recovery.head) {
    out += " head " + std::to_string(recovery.head->size) + to_hex(recovery.head->root);
  }
  for (const SessionRow& row : recovery.sessions) {
    out += "\nsession " + to_string(row.run_id) + " " + std::to_string(row.next_step);
  }
  for (const TextRow& row : recovery.texts) {
    out += "\nheard " + to_string(row.run_id) + " " + std::to_string(row.before.value) + " " +
           std::to_string(row.place) + " " + std::to_string(row.text.size());
  }
  for (const KeyRow& row : recovery.keys) {
    out += "\nkey " + row.scope + row.key + to_string(row.run_id);
  }
  for (const IntentRow& row : recovery.intents) {
    out += "\nintent " + to_string(row.run_id) + " " + std::to_string(row.step.value);
  }
  for (const MarkRow& row : recovery.marks) {
    out += "\nmark " + to_string(row.worker) + " " + std::to_string(row.mark);
  }
  for (const OwnerRow& row : recovery.owners) {
    out += "\nowner " + to_string(row.worker) + " " + row.node.name + " " + row.name;
  }
  for (const NodeId& node : recovery.quarantined) {
    out += "\nquarantined " + node.name;
  }
  for (const HistoryEntry& row : recovery.history) {
    out += "\ntaught " + row.name + to_hex(row.hash);
  }
  for (const EffectRow& row : recovery.effects) {
    out += "\neffect " + to_string(row.id.run_id) + " " + std::to_string(row.id.step.value);
  }
  for (const char* name : {"text-0", "text-1", "text-2"}) {
    const auto text = store.text(name);
    if (!text) {
      return tl::unexpected(text.error());
    }
    out += "\n" + text->value_or("none");
  }
  const auto size = store.size();
  if (!size) {
    return tl::unexpected(size.error());
  }
  for (std::uint64_t from = 0; from < *size;) {
    const auto page = store.read(Seq{from}, *size - from, true);
    if (!page) {
      return tl::unexpected(page.error());
    }
    if (page->empty()) {
      return fail(Errc::verification, "entry " + std::to_string(from) + " is missing");
    }
    for (const StoredEntry& entry : *page) {
      out += "\n" + text_of(entry);
    }
    from += page->size();
  }
  // What is learned again, with the texts of sessions that have ended.
  for (std::uint64_t from = 0; from < *size;) {
    const auto page = store.commits(Seq{from}, Seq{*size}, *size);
    if (!page) {
      return tl::unexpected(page.error());
    }
    for (const CoordinatorStore::CommitRecord& record : *page) {
      out += "\nlearned " + to_string(record.run_id) + " " + std::to_string(record.step.value) +
             (record.is_last ? " last" : "");
      for (const std::string& text : record.texts) {
        out += " " + std::to_string(text.size());
      }
    }
    from = page->empty() ? *size : page->back().seq.value + 1;
  }
  return out;
}

std::string contents_after(std::span<const Write> writes) {
  MemoryCoordinatorStore model;
  for (const Write& write : writes) {
    good(apply(model, write));
  }
  return good(contents(model));
}

/// A disk whose power is cut at its `at`-th write or sync. What of it survives is drawn.
std::shared_ptr<Disk> cut_disk(Disk::Kind kind, std::uint64_t at, std::uint64_t seed) {
  struct Cut {
    std::weak_ptr<Disk> disk;
    Prng prng;
    std::uint64_t at;
    std::uint64_t count = 0;
  };
  const auto cut = std::make_shared<Cut>(Cut{{}, Prng(seed), at});
  const auto mutex = std::make_shared<std::mutex>();
  const auto pass = [cut, mutex] {
    const std::scoped_lock lock(*mutex);
    if (++cut->count != cut->at) {
      return;
    }
    const std::array survivals = {0.0, 0.0, 0.1, 0.5, 0.9, 1.0};
    const double survival = survivals[cut->prng.below(survivals.size())];
    const auto grain = cut->prng.chance(0.5) ? Disk::Grain::sector : Disk::Grain::write;
    static_cast<void>(
        cut->disk.lock()->lose_unsynced([&] { return cut->prng.chance(survival); }, grain));
  };
  auto disk = std::make_shared<Disk>(
      kind,
      [pass](std::uint64_t) {
        pass();
        return true;
      },
      pass);
  cut->disk = disk;
  return disk;
}

struct Outcome {
  std::uint64_t cuts = 0;
  std::uint64_t acknowledged = 0;
  std::string problem;  // Empty: all that was promised holds.
};

/// One file, written until its power is cut, opened again, and so on; each time against the model.
Outcome run_history(std::uint64_t seed, Disk::Kind kind) {
  Prng prng(seed);
  Writer writer(seed + 1);
  std::vector<Write> writes;
  for (std::size_t i = 0; i < calls_max; ++i) {
    writes.push_back(writer.next());
  }
  TempDirectory directory;
  Outcome outcome;
  std::size_t done = 0;  // Writes that are in the file.
  for (int round = 0; round <= cuts_max && done < writes.size(); ++round) {
    StoreSettings settings;
    const bool is_last = round == cuts_max;
    settings.disk = cut_disk(kind, is_last ? std::uint64_t{1} << 60 : 1 + prng.below(120), prng.next());
    settings.checkpoint_pages = static_cast<int>(2 + prng.below(30));
    std::size_t acknowledged = done;
    {
      auto store = open_coordinator_store(directory.path(), settings);
      if (store) {
        while (acknowledged < writes.size() && apply(**store, writes[acknowledged])) {
          ++acknowledged;
        }
      }
    }
    outcome.cuts += is_last || acknowledged == writes.size() ? 0 : 1;
    outcome.acknowledged += acknowledged - done;
    auto store = open_coordinator_store(directory.path(), simulated_settings());
    if (!store) {
      outcome.problem = "does not open: " + store.error().message;
      return outcome;
    }
    const auto found = contents(**store);
    if (!found) {
      outcome.problem = "is not read: " + found.error().message;
      return outcome;
    }
    // The write that was not acknowledged may have happened, whole.
    const std::size_t most = std::min(acknowledged + 1, writes.size());
    if (*found == contents_after(std::span(writes).first(acknowledged))) {
      done = acknowledged;
    } else if (*found == contents_after(std::span(writes).first(most))) {
      done = most;
    } else {
      outcome.problem = "round " + std::to_string(round) + ": " + std::to_string(acknowledged) +
                        " writes were acknowledged, and the file holds neither them nor one more";
      return outcome;
    }
  }
  return outcome;
}

}  // namespace

TEST_CASE("random histories survive power cuts at any write or sync, torn or reordered", "[power_cut]") {
  std::uint64_t cuts = 0;
  std::uint64_t acknowledged = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Outcome outcome = run_history(seed, Disk::Kind::simulated);
    INFO("seed " << seed << ": " << outcome.problem);
    REQUIRE(outcome.problem.empty());
    cuts += outcome.cuts;
    acknowledged += outcome.acknowledged;
  }
  CHECK(cuts > 100);
  CHECK(acknowledged > 2000);
}

TEST_CASE("many more of them", "[.power_cuts]") {
  std::uint64_t cuts = 0;
  for (std::uint64_t seed = 1000; seed < 6000; ++seed) {
    const Outcome outcome = run_history(seed, Disk::Kind::simulated);
    INFO("seed " << seed << ": " << outcome.problem);
    REQUIRE(outcome.problem.empty());
    cuts += outcome.cuts;
  }
  WARN("5000 histories, " << cuts << " power cuts");
}

TEST_CASE("a disk that lies about its syncs is found out", "[power_cut]") {
  std::uint64_t found = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    found += run_history(seed, Disk::Kind::lying).problem.empty() ? 0 : 1;
  }
  CHECK(found >= 10);
}

TEST_CASE("a node's marks survive power cuts at any write or sync", "[power_cut]") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    TempDirectory directory;
    Prng prng(seed);
    std::uint64_t safe = 0;
    for (int round = 0; round < cuts_max; ++round) {
      StoreSettings settings;
      settings.disk = cut_disk(Disk::Kind::simulated, 1 + prng.below(40), prng.next());
      std::uint64_t tried = safe;
      if (auto store = open_identity_store(directory.path(), settings)) {
        for (;;) {
          const MarkRow row{worker(1), ++tried};
          if (!(*store)->save({&row, 1})) {
            break;
          }
          safe = tried;
        }
      }
      const auto store = good(open_identity_store(directory.path(), simulated_settings()));
      const auto identity = good(store->load());
      INFO("seed " << seed << ", round " << round);
      REQUIRE(identity.workers.size() == (safe > 0 ? 1 : identity.workers.size()));
      if (!identity.workers.empty()) {
        CHECK(identity.workers[0].mark >= safe);
        CHECK(identity.workers[0].mark <= std::max(tried, safe));
        safe = identity.workers[0].mark;
      }
    }
  }
}
