// Hidden: storage_tests "[measure]" prints what a disk gives.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>

#include "storage/store_settings.hpp"
#include "store_values.hpp"

using namespace forerun;
using namespace forerun::store_values;

namespace {

using Clock = std::chrono::steady_clock;

double microseconds(Clock::duration duration) { return std::chrono::duration<double, std::micro>(duration).count(); }

StoredEntry entry_of_size(std::uint64_t seq, const RunId& run_id, std::uint32_t step) {
  auto entry = commit(seq, run_id, step);
  entry.leaf.resize(700, 'l');
  entry.call.resize(200, 'c');
  entry.output.resize(200, 'o');
  entry.writes.clear();
  entry.effects.clear();
  return entry;
}

/// One batch a decision, as the coordinator's, `count` of them a commit; 64 sessions take turns.
void measure(std::uint64_t count, Clock::duration time) {
  TempDirectory directory;
  StoreSettings settings;
  const auto store = good(open_coordinator_store(directory.path(), settings));
  std::vector<double> latencies;
  std::uint64_t size = 0;
  std::vector<CoordinatorBatch> batches(count);
  const auto begin = Clock::now();
  const auto syncs = store->sync_count();
  while (Clock::now() - begin < time) {
    for (CoordinatorBatch& next : batches) {
      const RunId run_id = run(size % 64 + 64 * (size / 640));
      const auto step = static_cast<std::uint32_t>(size / 64 % 10);
      next = batch(1, {entry_of_size(size, run_id, step)});
      next.sessions = {session(run_id, step + 1)};
      ++size;
    }
    const auto start = Clock::now();
    good(store->persist(batches));
    latencies.push_back(microseconds(Clock::now() - start));
  }
  const double seconds = microseconds(Clock::now() - begin) / 1e6;
  std::sort(latencies.begin(), latencies.end());
  const auto at = [&](double part) { return latencies[static_cast<std::size_t>(part * double(latencies.size() - 1))]; };
  std::printf("%4llu entries a commit: p50 %7.0f us, p99 %7.0f us, max %7.0f us, %7.0f entries/s, %.2f syncs a commit\n",
              static_cast<unsigned long long>(count), at(0.5), at(0.99), at(1), double(size) / seconds,
              double(store->sync_count() - syncs) / double(latencies.size()));
  const auto start = Clock::now();
  std::uint64_t visited = 0;
  good(store->recover([&visited](const StoredEntry&) { ++visited; }));
  std::printf("     recovered %llu entries, %.1f us each\n", static_cast<unsigned long long>(visited),
              microseconds(Clock::now() - start) / double(visited));
}

} // namespace

TEST_CASE("how fast decisions become durable", "[.][measure]") {
  for (const std::uint64_t count : {1, 16, 64, 128}) {
    measure(count, std::chrono::seconds(5));
  }
}
