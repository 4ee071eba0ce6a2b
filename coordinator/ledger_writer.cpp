#include "coordinator/ledger_writer.hpp"

#include <utility>

#include "base/assert.hpp"
#include "base/sha256.hpp"

namespace forerun {

void LedgerWriter::restore(const StoredEntry& entry) {
  FORERUN_ASSERT(entry.seq.value == frontier_.size());
  frontier_.append(merkle::leaf_hash(entry.leaf));
  epoch_ = entry.epoch;
}

StoredEntry LedgerWriter::open_term(Epoch epoch, std::string cause, std::string version) {
  FORERUN_ASSERT(epoch > epoch_ || size() == 0);
  EpochEntry body;
  body.cause = std::move(cause);
  body.version = std::move(version);
  body.public_key = key_.public_key();
  if (size() != 0) {
    body.root = frontier_.root();
    body.previous_signature =
        key_.sign(handover_message(epoch, body.public_key, *body.root, Seq{size()}));
  }
  epoch_ = epoch;
  return add(std::move(body));
}

Digest LedgerWriter::secret(std::string_view purpose) const {
  const auto seed = key_.seed();
  std::string text = "forerun/secret/1/" + std::string(purpose) + "\n";
  text.append(seed.begin(), seed.end());
  return sha256(text);
}

StoredEntry LedgerWriter::append(const CommitEntry& commit, const Digest& decision_hash) {
  StoredEntry entry = store(leaf_of(Seq{size()}, epoch_, commit, decision_hash));
  entry.run_id = commit.run_id;
  entry.step = commit.step;
  return entry;
}

StoredEntry LedgerWriter::append(DiscardEntry discard) {
  const RunId run_id = discard.run_id;
  StoredEntry entry = add(std::move(discard));
  entry.run_id = run_id;
  return entry;
}

StoredEntry LedgerWriter::add(
    std::variant<EpochEntry, CommitEntry, DiscardEntry, UnknownEntry> body) {
  Entry entry;
  entry.seq = Seq{size()};
  entry.epoch = epoch_;
  entry.body = std::move(body);
  return store(leaf_of(entry));
}

StoredEntry LedgerWriter::store(std::string leaf) {
  StoredEntry stored;
  stored.seq = Seq{size()};
  stored.epoch = epoch_;
  stored.leaf = std::move(leaf);
  frontier_.append(merkle::leaf_hash(stored.leaf));
  return stored;
}

}  // namespace forerun
