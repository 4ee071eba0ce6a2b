#include "apps/bench/bench_cluster.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iterator>
#include <mutex>
#include <utility>

#include "base/private_file.hpp"
#include "cluster/local/process.hpp"
#include "storage/memory_store.hpp"
#include "version.hpp"

namespace forerun {
namespace {

constexpr std::chrono::seconds start_within{20};
constexpr double no_op_waste_ratio = 1000;
constexpr const char* loopback = "127.0.0.1";

/// Passes everything on and counts what became durable.
class CountingStore final : public CoordinatorStore {
public:
  explicit CountingStore(std::shared_ptr<CoordinatorStore> store) : store_(std::move(store)) {}

  Result<CoordinatorRecovery> recover(
      const std::function<void(const StoredEntry&)>& visit) override {
    const std::scoped_lock lock(mutex_);
    return store_->recover(visit);
  }
  Result<void> drop_opening_keys(std::size_t keys_max) override {
    const std::scoped_lock lock(mutex_);
    return store_->drop_opening_keys(keys_max);
  }
  Result<void> persist(std::span<const CoordinatorBatch> batches) override {
    const std::scoped_lock lock(mutex_);
    auto done = store_->persist(batches);
    std::uint64_t entries = 0;
    for (const CoordinatorBatch& batch : batches) {
      entries += batch.entries.size();
    }
    entries_ += entries;
    ++commits_;
    largest_ = std::max(largest_.load(), entries);
    syncs_ = store_->sync_count();
    return done;
  }
  Result<std::vector<StoredEntry>> read(Seq from, std::size_t count, bool whole) override {
    const std::scoped_lock lock(mutex_);
    return store_->read(from, count, whole);
  }
  Result<SessionRecord> session(const RunId& run_id, const SessionPart& part) override {
    const std::scoped_lock lock(mutex_);
    return store_->session(run_id, part);
  }
  Result<SessionRow> session_row(const RunId& run_id) override {
    const std::scoped_lock lock(mutex_);
    return store_->session_row(run_id);
  }
  Result<std::optional<KeyRow>> key(const RunId& run_id, const std::string& key) override {
    const std::scoped_lock lock(mutex_);
    return store_->key(run_id, key);
  }
  Result<std::vector<StoredEntry>> steps(const RunId& run_id, StepNumber first,
                                         std::uint32_t count) override {
    const std::scoped_lock lock(mutex_);
    return store_->steps(run_id, first, count);
  }
  Result<std::vector<HistoryRow>> history(std::uint64_t first, std::uint64_t last,
                                          std::size_t steps) override {
    const std::scoped_lock lock(mutex_);
    return store_->history(first, last, steps);
  }
  Result<std::vector<CommitRecord>> commits(Seq from, Seq until, std::size_t count) override {
    const std::scoped_lock lock(mutex_);
    return store_->commits(from, until, count);
  }
  Result<void> put_text(const std::string& name, const std::string& text) override {
    const std::scoped_lock lock(mutex_);
    return store_->put_text(name, text);
  }
  Result<std::optional<std::string>> text(const std::string& name) override {
    const std::scoped_lock lock(mutex_);
    return store_->text(name);
  }
  Result<std::uint64_t> size() override {
    const std::scoped_lock lock(mutex_);
    return store_->size();
  }
  std::uint64_t sync_count() const override { return syncs_; }

  BenchCluster::StoreCounts counts() const { return {syncs_, commits_, entries_, largest_}; }

private:
  std::mutex mutex_;
  const std::shared_ptr<CoordinatorStore> store_;
  std::atomic<std::uint64_t> syncs_ = 0;
  std::atomic<std::uint64_t> commits_ = 0;
  std::atomic<std::uint64_t> entries_ = 0;
  std::atomic<std::uint64_t> largest_ = 0;
};

Result<Catalog> bench_catalog() {
  std::vector<Task> tasks;
  for (const char* function : {"noop", "brief", "nap"}) {
    for (std::size_t number = 0; number < bench_tasks; ++number) {
      Task task;
      task.name = bench_task(function, number);
      task.executor = ExecutorKind::native;
      task.effect = Effect::pure;
      task.function = function;
      tasks.push_back(std::move(task));
    }
  }
  return Catalog::make(std::move(tasks), {}, {});
}

std::string log_of(const std::filesystem::path& file) {
  std::ifstream log(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(log), {}};
}

class Cluster final : public BenchCluster {
public:
  explicit Cluster(BenchClusterSettings settings) : settings_(std::move(settings)) {}
  ~Cluster() override {
    nodes_.clear();
    host_.reset();
  }

  Result<void> run() {
    const std::filesystem::path data = settings_.folder / "coordinator";
    std::error_code error;
    std::filesystem::create_directories(data, error);
    std::filesystem::permissions(data, std::filesystem::perms::owner_all, error);
    if (error) {
      return fail(Errc::io, "bench: " + data.string() + ": " + error.message());
    }
    auto keys = KeyFolder::open_or_create(data);
    if (!keys) {
      return tl::unexpected<Error>(keys.error());
    }
    std::vector<std::string> tokens;
    for (std::size_t number = 1; number <= settings_.nodes; ++number) {
      auto token = keys->add("node-" + std::to_string(number));
      if (!token) {
        return tl::unexpected<Error>(token.error());
      }
      tokens.push_back(token->text());
    }
    if (auto started = start_host(*keys, data); !started) {
      return started;
    }
    for (std::size_t number = 1; number <= settings_.nodes; ++number) {
      if (auto started = start_node(number, tokens[number - 1]); !started) {
        return started;
      }
    }
    return {};
  }

  void answer_to(std::function<void(ClientResponse)> receiver) override {
    const auto shared = receiver ? std::make_shared<const Receiver>(std::move(receiver)) : nullptr;
    const std::lock_guard lock(receiver_mutex_);
    receiver_ = shared;
  }
  void put(CoordinatorInputs inputs) override { host_->put(std::move(inputs)); }
  std::uint16_t http_port() const override { return host_->http_port(); }
  void signal_nodes(int signal) override {
    for (ChildProcess& node : nodes_) {
      node.kill(signal);
    }
  }
  std::vector<int> node_pids() const override {
    std::vector<int> pids;
    for (const ChildProcess& node : nodes_) {
      pids.push_back(node.pid());
    }
    return pids;
  }
  StoreCounts store_counts() const override { return store_->counts(); }

private:
  using Receiver = std::function<void(ClientResponse)>;

  std::shared_ptr<const Receiver> current_receiver() const {
    const std::lock_guard lock(receiver_mutex_);
    return receiver_;
  }

  Result<void> start_host(const KeyFolder& keys, const std::filesystem::path& data) {
    std::shared_ptr<CoordinatorStore> store = std::make_shared<MemoryCoordinatorStore>();
    if (settings_.is_durable) {
      auto opened = open_coordinator_store(data);
      if (!opened) {
        return tl::unexpected<Error>(opened.error());
      }
      store = std::move(*opened);
    }
    store_ = std::make_shared<CountingStore>(std::move(store));
    CoordinatorStores stores{store_, store_};
    if (settings_.is_durable) {
      auto reader = open_coordinator_store_readonly(data);
      if (!reader) {
        return tl::unexpected<Error>(reader.error());
      }
      stores.reader = std::move(*reader);
    }
    auto catalog = bench_catalog();
    if (!catalog) {
      return tl::unexpected<Error>(catalog.error());
    }
    CoordinatorHostSettings host_settings;
    host_settings.machine.version = program_version;
    host_settings.machine.catalog = std::move(*catalog);
    host_settings.learns = settings_.learns;
    host_settings.machine.admission = settings_.admission;
    host_settings.machine.hedge.share = settings_.hedge_share;
    host_settings.machine.usefulness.control_share = 0;
    host_settings.is_store_quick = !settings_.is_durable;
    host_settings.log = [](const std::string&) {};
    auto host = CoordinatorHost::start(std::move(host_settings), keys, std::move(stores),
                                       [this](ClientResponse response) {
                                         if (const auto receiver = current_receiver()) {
                                           (*receiver)(std::move(response));
                                         }
                                       });
    if (!host) {
      return tl::unexpected<Error>(host.error());
    }
    host_ = std::move(*host);
    return {};
  }

  Result<void> start_node(std::size_t number, const std::string& token) {
    const std::string name = "node-" + std::to_string(number);
    const auto token_file = settings_.folder / (name + ".token");
    if (auto written = write_private_file(token_file, token + "\n"); !written) {
      return written;
    }
    const auto log = settings_.folder / (name + ".log");
    auto child = ChildProcess::start(
        {{settings_.binary.string(), "node", "--join",
          std::string(loopback) + ":" + std::to_string(host_->join_port()), "--token-file",
          token_file.string(), "--data", (settings_.folder / name).string(), "--name", name,
          "--slots", std::to_string(settings_.slots)},
         log});
    if (!child) {
      return tl::unexpected<Error>(child.error());
    }
    nodes_.push_back(std::move(*child));
    const auto joined = nodes_.back().read_line(std::chrono::steady_clock::now() + start_within);
    if (!joined) {
      return fail(Errc::io, "bench: " + name + ": " + joined.error().message + "\n" + log_of(log));
    }
    return {};
  }

  const BenchClusterSettings settings_;
  mutable std::mutex receiver_mutex_;
  std::shared_ptr<const Receiver> receiver_;
  std::shared_ptr<CountingStore> store_;
  std::unique_ptr<CoordinatorHost> host_;
  std::vector<ChildProcess> nodes_;
};

}  // namespace

AdmissionSettings BenchClusterSettings::no_op_admission() {
  AdmissionSettings settings;
  settings.waste_ratio_max = no_op_waste_ratio;
  settings.policy = AdmissionPolicy::bands;
  return settings;
}

std::string bench_task(const std::string& function, std::size_t number) {
  return function + "_" + std::to_string(number);
}

Result<std::unique_ptr<BenchCluster>> BenchCluster::start(const BenchClusterSettings& settings) {
  auto cluster = std::make_unique<Cluster>(settings);
  if (auto running = cluster->run(); !running) {
    return tl::unexpected<Error>(running.error());
  }
  return cluster;
}

}  // namespace forerun
