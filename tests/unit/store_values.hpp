#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <tuple>

#include "speculation/durable.hpp"
#include "storage/store_settings.hpp"
#include "tests/support/temp_directory.hpp"

/// Values for the tests of stores, and their equality.
namespace forerun::store_values {

using test::TempDirectory;

/// A disk that does not make the tests wait for its syncs.
inline StoreSettings simulated_settings() {
  StoreSettings settings;
  settings.disk = std::make_shared<Disk>(Disk::Kind::simulated);
  return settings;
}

inline WorkerId worker(std::uint8_t number) {
  WorkerId worker;
  worker.uuid.bytes.fill(number);
  return worker;
}

inline RunId run(std::uint64_t counter) {
  return {worker(7), counter};
}

inline Digest digest(std::uint8_t number) {
  Digest digest;
  digest.bytes.fill(number);
  return digest;
}

inline StoredEntry commit(std::uint64_t seq, const RunId& run_id, std::uint32_t step) {
  const std::string number = std::to_string(seq);
  StoredEntry entry;
  entry.seq = Seq{seq};
  entry.epoch = Epoch{1};
  entry.leaf = "{\"leaf\":" + number + "}";
  entry.call = "{\"call\":" + number + "}";
  entry.output = "{\"output\":\"ä " + number + "\"}";
  entry.writes = "{\"writes\":" + number + "}";
  entry.effects = "[" + number + "]";
  entry.run_id = run_id;
  entry.step = StepNumber{step};
  return entry;
}

inline StoredEntry epoch_entry(std::uint64_t seq, std::uint64_t epoch) {
  StoredEntry entry;
  entry.seq = Seq{seq};
  entry.epoch = Epoch{epoch};
  entry.leaf = "{\"epoch\":" + std::to_string(epoch) + "}";
  return entry;
}

inline SessionRow session(const RunId& run_id, std::uint32_t next_step) {
  SessionRow row;
  row.run_id = run_id;
  row.tenant = "tenant";
  row.context = "a context";
  row.mode = SpeculationMode::shadow;
  row.world = "world";
  row.next_step = next_step;
  row.chain = digest(static_cast<std::uint8_t>(next_step));
  row.state = "{\"a\":1}";
  return row;
}

inline KeyRow key(const std::string& scope, const std::string& name, const RunId& run_id) {
  return {scope, name, digest(9), run_id, 2, 3};
}

inline IntentRow intent(const RunId& run_id, std::uint32_t step) {
  return {run_id, StepNumber{step}, "{\"call\":1}", true, "key", digest(8), 1, 2};
}

/// With the head that a batch's entries need; its root is any.
inline CoordinatorBatch with_head(CoordinatorBatch batch) {
  if (!batch.entries.empty()) {
    const StoredEntry& last = batch.entries.back();
    batch.head = {last.seq.value + 1, sha256(last.leaf), batch.epoch};
  }
  return batch;
}

inline CoordinatorBatch batch(std::uint64_t epoch, std::vector<StoredEntry> entries = {}) {
  CoordinatorBatch batch;
  batch.epoch = Epoch{epoch};
  batch.entries = std::move(entries);
  return with_head(std::move(batch));
}

inline auto tied(const StoredEntry& e) {
  return std::tie(e.seq, e.epoch, e.leaf, e.call, e.output, e.writes, e.effects, e.run_id, e.step);
}
inline auto tied(const SessionRow& s) {
  return std::tie(s.run_id, s.tenant, s.context, s.mode, s.world, s.next_step, s.chain, s.state,
                  s.ended);
}
inline auto tied(const KeyRow& k) {
  return std::tie(k.scope, k.key, k.request_hash, k.run_id, k.first_step, k.step_count);
}
inline auto tied(const IntentRow& i) {
  return std::tie(i.run_id, i.step, i.call, i.is_write, i.key, i.request_hash, i.first_step,
                  i.step_count);
}
inline auto tied(const MarkRow& m) {
  return std::tie(m.worker, m.mark);
}

inline auto tied(const OwnerRow& o) {
  return std::tie(o.worker, o.node, o.name);
}

template <class T>
bool same(const T& left, const T& right) {
  return tied(left) == tied(right);
}
template <class T>
bool same(const std::vector<T>& left, const std::vector<T>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const T& a, const T& b) { return same(a, b); });
}

inline std::vector<StoredEntry> entries_of(CoordinatorStore& store) {
  std::vector<StoredEntry> entries;
  REQUIRE(store.recover([&](const StoredEntry& entry) { entries.push_back(entry); }));
  return entries;
}

template <class T>
T good(Result<T> result) {
  INFO((result ? std::string() : result.error().message));
  REQUIRE(result);
  return std::move(*result);
}
inline void good(const Result<void>& result) {
  INFO((result ? std::string() : result.error().message));
  REQUIRE(result);
}
template <class T>
Error bad(const Result<T>& result) {
  REQUIRE_FALSE(result);
  return result.error();
}

}  // namespace forerun::store_values
