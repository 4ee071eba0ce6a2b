// What was acknowledged survives a killed process, and a power cut that takes what was not synced.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <functional>

#include "base/prng.hpp"
#include "storage/store_settings.hpp"
#include "store_values.hpp"

using namespace forerun;
using namespace forerun::store_values;

namespace {

/// The writer's end of a pipe through which it says how many entries it has been told are durable.
using Acknowledge = std::function<void(std::uint64_t)>;

/// Runs `writer` in a child until it dies or has acknowledged `enough`, then kills it. Returns what
/// it acknowledged last.
std::uint64_t run_and_kill(const std::function<void(const Acknowledge&)>& writer,
                           std::uint64_t enough) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    writer([&ends](std::uint64_t size) {
      if (::write(ends[1], &size, sizeof size) != sizeof size) {
        ::_exit(1);
      }
    });
    ::_exit(1);
  }
  ::close(ends[1]);
  std::uint64_t last = 0;
  std::uint64_t size = 0;
  bool is_killed = false;
  while (::read(ends[0], &size, sizeof size) == sizeof size) {
    last = size;
    if (last >= enough && !is_killed) {
      ::kill(child, SIGKILL);
      is_killed = true;
    }
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGKILL);
  return last;
}

/// One session for all: its steps are the ledger's numbers.
CoordinatorBatch next_batch(std::uint64_t size, std::uint64_t count, std::uint64_t epoch) {
  auto next = batch(epoch);
  for (std::uint64_t i = 0; i < count; ++i) {
    next.entries.push_back(commit(size + i, run(1), static_cast<std::uint32_t>(size + i)));
  }
  next.sessions = {session(run(1), static_cast<std::uint32_t>(size + count))};
  next.marks = {{worker(1), size + count}};
  return with_head(std::move(next));
}

/// Persists batches of one to eight entries, without end.
void write_ledger(const std::filesystem::path& directory, const StoreSettings& settings,
                  std::uint64_t seed, const Acknowledge& acknowledge) {
  auto store = open_coordinator_store(directory, settings);
  if (!store) {
    ::_exit(1);
  }
  Prng prng(seed);
  const auto recovery = (*store)->recover([](const StoredEntry&) {});
  auto size = (*store)->size();
  if (!recovery || !size) {
    ::_exit(1);
  }
  for (;;) {
    const std::uint64_t count = 1 + prng.below(8);
    const auto next = next_batch(*size, count, recovery->epoch.value + 1);
    if (!(*store)->persist({&next, 1})) {
      ::pause();  // Its power is cut: the kill is on its way.
    }
    *size += count;
    acknowledge(*size);
  }
}

/// Entries, session and mark are of one batch, all that was acknowledged is there, and nothing else
/// than was written.
std::uint64_t check_ledger(const std::filesystem::path& directory, std::uint64_t acknowledged) {
  const auto store = good(open_coordinator_store(directory, simulated_settings()));
  std::uint64_t size = 0;
  const auto recovery = good(store->recover([&size](const StoredEntry& entry) {
    REQUIRE(same(entry, commit(size, run(1), static_cast<std::uint32_t>(size))));
    ++size;
  }));
  CHECK(size >= acknowledged);
  CHECK(size - acknowledged <= 8);
  if (size > 0) {
    REQUIRE(recovery.sessions.size() == 1);
    CHECK(recovery.sessions[0].next_step == size);
    CHECK(same(recovery.marks, std::vector{MarkRow{worker(1), size}}));
  }
  return size;
}

/// A disk whose power is cut at a sync, when a part of what is not synced survives; then the
/// process is killed.
std::shared_ptr<Disk> failing_disk(std::uint64_t cut_at, std::uint64_t seed, double survival) {
  auto self = std::make_shared<std::weak_ptr<Disk>>();
  auto prng = std::make_shared<Prng>(seed);
  auto disk = std::make_shared<Disk>(Disk::Kind::simulated, [=](std::uint64_t number) {
    if (number == cut_at) {
      static_cast<void>(self->lock()->lose_unsynced([&] { return prng->chance(survival); }));
      ::kill(::getpid(), SIGKILL);
    }
    return true;
  });
  *self = disk;
  return disk;
}

}  // namespace

TEST_CASE("every acknowledged entry survives kill -9 in the middle of persisting",
          "[store_crash]") {
  TempDirectory directory;
  std::uint64_t size = 0;
  for (std::uint64_t round = 0; round < 8; ++round) {
    // Killing takes nothing from the kernel, so syncs would only cost time here.
    StoreSettings settings = simulated_settings();
    settings.checkpoint_pages = 20;
    const auto writer = [&](const Acknowledge& acknowledge) {
      write_ledger(directory.path(), settings, round, acknowledge);
    };
    const std::uint64_t acknowledged = run_and_kill(writer, size + 100 + 37 * round);
    const std::uint64_t before = size;
    size = check_ledger(directory.path(), acknowledged);
    REQUIRE(size > before);
  }
}

TEST_CASE("every acknowledged entry survives a power cut at any sync", "[store_crash]") {
  // Few pages a checkpoint, so that syncs of the file itself are among those that are cut.
  for (std::uint64_t cut_at = 1; cut_at <= 40; ++cut_at) {
    const double survival = cut_at % 3 == 0 ? 0 : cut_at % 3 == 1 ? 0.5 : 1;
    TempDirectory directory;
    const auto writer = [&](const Acknowledge& acknowledge) {
      StoreSettings settings;
      settings.disk = failing_disk(cut_at, cut_at, survival);
      settings.checkpoint_pages = 20;
      write_ledger(directory.path(), settings, cut_at, acknowledge);
    };
    INFO("power cut at sync " << cut_at << ", survival " << survival);
    const std::uint64_t acknowledged = run_and_kill(writer, std::uint64_t{1} << 62);
    check_ledger(directory.path(), acknowledged);
  }
}

TEST_CASE("a power cut leaves a replica that is a prefix, and its epoch", "[store_crash]") {
  for (std::uint64_t round = 0; round < 10; ++round) {
    TempDirectory directory;
    const auto writer = [&](const Acknowledge& acknowledge) {
      StoreSettings settings;
      settings.disk = std::make_shared<Disk>(Disk::Kind::simulated);
      auto store = open_replica_store(directory.path(), settings);
      ReplicaBatch next;
      for (std::uint64_t size = 0; size < 50; ++size) {
        next.entries = {commit(size, run(1), static_cast<std::uint32_t>(size))};
        next.epoch = Epoch{size < 20 ? 1U : 2U};
        if (!store || !(*store)->persist(next)) {
          ::_exit(1);
        }
      }
      acknowledge(50);
      Prng prng(round);
      static_cast<void>(settings.disk->lose_unsynced(
          [&] { return prng.chance(0.1 * static_cast<double>(round)); }));
      ::kill(::getpid(), SIGKILL);
    };
    REQUIRE(run_and_kill(writer, 51) == 50);
    const auto store = good(open_replica_store(directory.path(), simulated_settings()));
    std::uint64_t size = 0;
    const auto recovery = good(store->recover([&size](const StoredEntry& entry) {
      REQUIRE(entry.leaf == commit(size, run(1), 0).leaf);
      ++size;
    }));
    CHECK(size >= 21);
    CHECK(size <= 50);
    CHECK((round > 0 || size == 21));
    CHECK(recovery.epoch == Epoch{2});
  }
}
