// Hidden: storage_tests "[measure]" prints what a disk gives.
#include <fcntl.h>
#include <unistd.h>

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

double microseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

struct Latencies {
  std::vector<double> all;
  double at(double part) {
    std::sort(all.begin(), all.end());
    return all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))];
  }
};

/// What the same disk takes for the pages of one small commit, written over an old log and synced,
/// without SQLite.
void measure_disk(Clock::duration time) {
  TempDirectory directory;
  const int descriptor =
      ::open((directory.path() / "log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::string pages(4 * 16'384, 'p');
  constexpr off_t log_size = 16 << 20;
  for (off_t at = 0; at < log_size; at += static_cast<off_t>(pages.size())) {
    REQUIRE(::pwrite(descriptor, pages.data(), pages.size(), at) > 0);
  }
  REQUIRE(::fsync(descriptor) == 0);
  Latencies latencies;
  off_t at = 0;
  for (const auto begin = Clock::now(); Clock::now() - begin < time;) {
    const auto start = Clock::now();
    REQUIRE(::pwrite(descriptor, pages.data(), pages.size(), at) > 0);
    REQUIRE(::fdatasync(descriptor) == 0);
    latencies.all.push_back(microseconds(Clock::now() - start));
    at = (at + static_cast<off_t>(pages.size())) % log_size;
  }
  ::close(descriptor);
  std::printf("bare 64 KB write and fdatasync: p50 %7.0f us, p99 %7.0f us\n", latencies.at(0.5),
              latencies.at(0.99));
}

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
  Latencies latencies;
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
    latencies.all.push_back(microseconds(Clock::now() - start));
  }
  const double seconds = microseconds(Clock::now() - begin) / 1e6;
  std::printf(
      "%4llu entries a commit: p50 %7.0f us, p99 %7.0f us, max %7.0f us, %7.0f entries/s, %.2f "
      "syncs a commit\n",
      static_cast<unsigned long long>(count), latencies.at(0.5), latencies.at(0.99),
      latencies.at(1), double(size) / seconds,
      double(store->sync_count() - syncs) / double(latencies.all.size()));
  const auto start = Clock::now();
  std::uint64_t visited = 0;
  good(store->recover([&visited](const StoredEntry&) { ++visited; }));
  std::printf("     recovered %llu entries, %.1f us each\n",
              static_cast<unsigned long long>(visited),
              microseconds(Clock::now() - start) / double(visited));
}

}  // namespace

TEST_CASE("how fast decisions become durable", "[.][measure]") {
  for (const std::uint64_t count : {1, 16, 64, 128}) {
    measure_disk(std::chrono::seconds(1));
    measure(count, std::chrono::seconds(4));
  }
}
