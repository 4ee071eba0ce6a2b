#include "apps/bench/bench.hpp"

#include <malloc.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <ostream>
#include <thread>
#include <utility>

#include "apps/bench/bench_cluster.hpp"
#include "apps/bench/http_load.hpp"
#include "apps/bench/load.hpp"
#include "apps/process.hpp"
#include "base/hex.hpp"
#include "cluster/local/process.hpp"
#include "cluster/local/temporary_folder.hpp"
#include "cluster/raw_round_trip.hpp"
#include "coordinator/prediction_graph.hpp"
#include "messages/codec.hpp"

/// jemalloc's, where it is linked.
extern "C" [[gnu::weak]] int mallctl(const char* name, void* old, std::size_t* old_size, void* next,
                                     std::size_t next_size);

namespace forerun {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t slices = 3;  ///< Of each measurement, for a median.
constexpr std::size_t three = 3;   ///< Nodes.
constexpr std::chrono::seconds peer_within{10};

/// Bytes that this process has allocated and not freed.
double allocated_bytes() {
  if (mallctl == nullptr) {
    return static_cast<double>(mallinfo2().uordblks);
  }
  std::uint64_t epoch = 1;  // Brings its figures up to date.
  std::size_t allocated = 0;
  std::size_t size = sizeof allocated;
  mallctl("epoch", nullptr, nullptr, &epoch, sizeof epoch);
  mallctl("stats.allocated", &allocated, &size, nullptr, 0);
  return static_cast<double>(allocated);
}

/// The frame that dispatches one call of the load, as the coordinator would send it.
std::size_t dispatch_frame_bytes(std::size_t input_bytes) {
  Dispatch dispatch;
  dispatch.epoch = Epoch{1};
  dispatch.token = BranchToken{std::uint64_t{1} << 41U};
  dispatch.worker = WorkerId{Uuid::random()};
  dispatch.owner.run_id = RunId{WorkerId{Uuid::random()}, 1000};
  dispatch.owner.step = StepNumber{1000};
  dispatch.task = bench_task("noop", 0);
  dispatch.input = bench_call(10, 1000, input_bytes, BenchWork::distinct).canonical_input();
  dispatch.state = "{}";
  dispatch.timeout = std::chrono::seconds(30);
  const CoordinatorMessage message(dispatch);
  return encode(std::span(&message, 1)).size();
}

std::size_t result_frame_bytes() {
  BranchEnded ended;
  ended.epoch = Epoch{1};
  ended.token = BranchToken{std::uint64_t{1} << 41U};
  ended.output = "{}";
  ended.latency = Duration(20);
  const NodeMessage message(ended);
  return encode(std::span(&message, 1)).size();
}

std::size_t input_bytes_for(std::size_t frame_bytes) {
  const std::size_t with_input = 100;
  const std::size_t rest = dispatch_frame_bytes(with_input) - with_input;
  return frame_bytes > rest ? frame_bytes - rest : 0;
}

/// The other end of the raw round trip, in a process of its own.
class RawPeer {
public:
  static Result<RawPeer> start(const BenchSettings& settings, const std::filesystem::path& folder) {
    auto child = ChildProcess::start({{settings.binary.string(), "bench-peer", "--reply-bytes",
                                       std::to_string(result_frame_bytes())},
                                      folder / "peer.log"});
    if (!child) {
      return tl::unexpected<Error>(child.error());
    }
    const auto line = child->read_line(Clock::now() + peer_within);
    if (!line) {
      return fail(Errc::io, "bench: the raw peer: " + line.error().message);
    }
    RawPeer peer{std::move(*child), 0, {}};
    const auto ready = json::parse(*line);
    const json::Value* port = ready ? ready->find("port") : nullptr;
    const json::Value* key = ready ? ready->find("key") : nullptr;
    const auto bytes = key == nullptr || key->string() == nullptr
                           ? Result<std::vector<std::uint8_t>>(std::vector<std::uint8_t>())
                           : from_hex(*key->string());
    if (port == nullptr || port->number() == nullptr || !bytes ||
        bytes->size() != peer.key.size()) {
      return fail(Errc::io, "bench: the raw peer said " + *line);
    }
    std::copy(bytes->begin(), bytes->end(), peer.key.begin());
    peer.port = static_cast<std::uint16_t>(*port->number());
    return peer;
  }

  ChildProcess child;
  std::uint16_t port;
  CurveKey key;
};

class Bench {
public:
  Bench(const BenchSettings& settings, std::ostream& progress)
      : settings_(settings),
        progress_(progress),
        slice_(static_cast<std::int64_t>(settings.seconds * 1e6 / slices)),
        input_bytes_(input_bytes_for(settings.size)) {}

  Result<BenchResult> run() {
    auto folder = TemporaryFolder::make("forerun-bench");
    if (!folder) {
      return tl::unexpected<Error>(folder.error());
    }
    folder_ = folder->path();
    auto peer = RawPeer::start(settings_, folder_);
    if (!peer) {
      return tl::unexpected<Error>(peer.error());
    }
    // The raw round trip is measured between the others, so that all see the same machine.
    Result<void> done = measure_raw(*peer);
    const auto then = [&](bool is_wanted, Result<void> (Bench::*what)()) {
      if (done && is_wanted) {
        done = (this->*what)();
      }
    };
    then(wants("step") || wants("http") || wants("memory"), &Bench::measure_one_node);
    then(wants("hit") || wants("predicting"), &Bench::measure_learning_node);
    done = done ? measure_raw(*peer) : done;
    then(wants("durable"), &Bench::measure_durable);
    then(wants("three_nodes"), &Bench::measure_three_nodes);
    then(wants("saturated"), &Bench::measure_saturated);
    then(wants("confirmed_first"), &Bench::measure_preemption);
    then(wants("hedging"), &Bench::measure_slow_node);
    done = done ? measure_raw(*peer) : done;
    if (!done) {
      return tl::unexpected<Error>(done.error());
    }
    if (wants("memory")) {
      measure_hash();
      measure_tasks();
    }
    result_.raw.p50_us = median(raw_p50_);
    result_.raw.p99_us = median(raw_p99_);
    result_.raw.per_s = median(raw_per_s_);
    return result_;
  }

  /// With its nodes stopped a cluster answers nothing, and the load says so.
  Result<int> check(std::ostream& out) {
    auto folder = TemporaryFolder::make("forerun-bench");
    if (!folder) {
      return tl::unexpected<Error>(folder.error());
    }
    folder_ = folder->path();
    auto cluster = start_cluster("check", 1, true);
    if (!cluster) {
      return tl::unexpected<Error>(cluster.error());
    }
    LoadSettings load_settings = load_of(settings_.in_flight);
    load_settings.slices = 1;
    auto load = Load::start(**cluster, load_settings);
    if (!load) {
      return tl::unexpected<Error>(load.error());
    }
    const LoadResult running = (*load)->measure();
    (*cluster)->signal_nodes(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // What was on its way arrives.
    const LoadResult stopped = (*load)->measure();
    (*cluster)->signal_nodes(SIGCONT);
    if (auto ended = (*load)->stop(); !ended) {
      return tl::unexpected<Error>(ended.error());
    }
    const BenchCluster::StoreCounts counts = (*cluster)->store_counts();
    json::Object report;
    report.set("running_per_s", running.per_s());
    report.set("stopped_per_s", stopped.per_s());
    report.set("entries", counts.entries);
    report.set("largest_batch", counts.largest_batch);
    report.set("syncs", counts.syncs);
    out << json::canonical(report) << '\n';
    if (running.slices.front().steps == 0) {
      return fail(Errc::verification, "bench: no step was answered while the node ran");
    }
    if (stopped.slices.front().steps != 0) {
      return fail(Errc::verification, "bench: found " +
                                          std::to_string(stopped.slices.front().steps) +
                                          " steps with the node stopped, expected none");
    }
    return check_syncs(counts) ? Result<int>(exit_ok)
                               : tl::unexpected<Error>(check_syncs(counts).error());
  }

private:
  static Result<void> check_syncs(const BenchCluster::StoreCounts& counts) {
    if (counts.largest_batch == 0 || counts.syncs * counts.largest_batch < counts.entries) {
      return fail(Errc::verification, "bench: found " + std::to_string(counts.syncs) +
                                          " syncs for " + std::to_string(counts.entries) +
                                          " entries in batches of at most " +
                                          std::to_string(counts.largest_batch) + ", expected more");
    }
    return {};
  }

  Result<std::unique_ptr<BenchCluster>> start_cluster(const std::string& name, std::size_t nodes,
                                                      bool is_durable, bool learns = false,
                                                      std::size_t slots = 0) {
    BenchClusterSettings cluster;
    cluster.binary = settings_.binary;
    cluster.folder = folder_ / name;
    cluster.nodes = nodes;
    cluster.is_durable = is_durable;
    cluster.learns = learns;
    cluster.slots = std::max<std::size_t>(slots == 0 ? settings_.in_flight : slots, 8);
    return BenchCluster::start(cluster);
  }

  LoadSettings load_of(std::size_t in_flight) const {
    LoadSettings load;
    load.in_flight = in_flight;
    load.input_bytes = input_bytes_;
    load.slice = slice_;
    load.slices = slices;
    return load;
  }

  bool wants(std::string_view part) const {
    return settings_.only.empty() || settings_.only == part;
  }

  void say(const std::string& what) { progress_ << "bench: " << what << '\n' << std::flush; }

  Result<void> measure_raw(const RawPeer& peer) {
    say("raw round trips");
    for (const std::size_t in_flight : {std::size_t{1}, settings_.in_flight}) {
      const auto raw =
          measure_raw_round_trips(peer.port, peer.key, settings_.size, in_flight, slice_);
      if (!raw) {
        return tl::unexpected<Error>(raw.error());
      }
      if (in_flight == 1) {
        raw_p50_.push_back(percentile(raw->latencies_us, 0.5));
        raw_p99_.push_back(percentile(raw->latencies_us, 0.99));
      }
      if (in_flight == settings_.in_flight) {
        raw_per_s_.push_back(static_cast<double>(raw->latencies_us.size()) * 1e6 /
                             static_cast<double>(raw->time.count()));
      }
    }
    return {};
  }

  /// One at a time, then many in flight.
  Result<void> measure_rate(BenchCluster& cluster, BenchRate& rate, LoadResult* many_of = nullptr) {
    const auto one = run_load(cluster, load_of(1));
    if (!one) {
      return tl::unexpected<Error>(one.error());
    }
    rate.p50_us = percentile(one->latencies_us, 0.5);
    rate.p99_us = percentile(one->latencies_us, 0.99);
    return measure_many(cluster, rate, load_of(settings_.in_flight), many_of);
  }

  Result<void> measure_many(BenchCluster& cluster, BenchRate& rate, const LoadSettings& load,
                            LoadResult* many_of = nullptr) {
    const auto many = run_load(cluster, load);
    if (!many) {
      return tl::unexpected<Error>(many.error());
    }
    if (many->refused > 0) {
      return fail(Errc::io, "bench: " + std::to_string(many->refused) + " steps failed");
    }
    rate.per_s = many->per_s();
    rate.coordinator_cpu_us = many->per_step_us(&LoadSlice::coordinator_cpu);
    rate.node_cpu_us = many->per_step_us(&LoadSlice::node_cpu);
    if (many_of != nullptr) {
      *many_of = *many;
    }
    return {};
  }

  Result<void> measure_one_node() {
    say("steps through one node");
    auto cluster = start_cluster("one", 1, false);
    if (!cluster) {
      return tl::unexpected<Error>(cluster.error());
    }
    if (wants("step")) {
      LoadResult many;
      if (auto done = measure_rate(**cluster, result_.step, &many); !done) {
        return done;
      }
      result_.shares = shares_of(many);
    }
    if (wants("http")) {
      say("steps over HTTP");
      if (auto done = measure_http(**cluster); !done) {
        return done;
      }
    }
    if (wants("memory")) {
      say("memory");
      return measure_sessions(**cluster);
    }
    return {};
  }

  /// On a cluster of its own, since what was learned and kept before would count.
  Result<void> measure_learning_node() {
    auto cluster = start_cluster("predicting", 1, false, true);
    if (!cluster) {
      return tl::unexpected<Error>(cluster.error());
    }
    if (wants("hit")) {
      say("hits");
      if (auto done = measure_hits(**cluster); !done) {
        return done;
      }
    }
    if (!wants("predicting")) {
      return {};
    }
    say("steps with learning and prediction");
    LoadSettings load = load_of(settings_.in_flight);
    load.mode = SpeculationMode::on;
    load.work = BenchWork::cycle;
    LoadResult predicting;
    if (auto done = measure_many(**cluster, result_.predicting, load, &predicting); !done) {
      return done;
    }
    double steps = 0;
    double answered = 0;
    for (const LoadSlice& slice : predicting.slices) {
      steps += static_cast<double>(slice.steps);
      answered += static_cast<double>(slice.hits + slice.late_hits);
    }
    result_.predicting_hits = steps > 0 ? answered / steps : 0;
    return {};
  }

  Result<void> measure_durable() {
    say("steps through one node, every decision durable");
    auto cluster = start_cluster("durable", 1, true);
    if (!cluster) {
      return tl::unexpected<Error>(cluster.error());
    }
    LoadResult many;
    if (auto done = measure_rate(**cluster, result_.durable, &many); !done) {
      return done;
    }
    result_.shares_durable = shares_of(many);
    const BenchCluster::StoreCounts counts = (*cluster)->store_counts();
    result_.syncs = counts.syncs;
    result_.durable_steps = counts.entries;
    result_.largest_batch = counts.largest_batch;
    return check_syncs(counts);
  }

  Result<void> measure_three_nodes() {
    say("steps through three nodes");
    for (const bool is_durable : {false, true}) {
      auto cluster = start_cluster(is_durable ? "three-durable" : "three", three, is_durable);
      if (!cluster) {
        return tl::unexpected<Error>(cluster.error());
      }
      BenchRate& rate = is_durable ? result_.three_nodes_durable : result_.three_nodes;
      if (auto done = measure_many(**cluster, rate, load_of(settings_.in_flight)); !done) {
        return done;
      }
    }
    return {};
  }

  Result<void> measure_saturated() {
    say("so many steps in flight that neither side waits for the other");
    struct Case {
      const char* name;
      std::size_t nodes;
      bool is_durable;
      BenchRate& rate;
    };
    for (const Case& each :
         {Case{"saturated", 1, false, result_.saturated},
          Case{"saturated-durable", 1, true, result_.saturated_durable},
          Case{"saturated-three", three, false, result_.saturated_three_nodes}}) {
      auto cluster =
          start_cluster(each.name, each.nodes, each.is_durable, false, settings_.saturated);
      if (!cluster) {
        return tl::unexpected<Error>(cluster.error());
      }
      if (auto done = measure_many(**cluster, each.rate, load_of(settings_.saturated)); !done) {
        return done;
      }
    }
    return {};
  }

  TailSettings tail_settings() const { return {settings_.binary, folder_, slices * slice_}; }

  Result<void> measure_preemption() {
    say("confirmed work among speculation");
    return measure_confirmed_first(tail_settings()).map([this](const ConfirmedFirst& measured) {
      result_.confirmed_first = measured;
    });
  }

  Result<void> measure_slow_node() {
    say("one slow node among four, without and with second attempts");
    return measure_hedging(tail_settings()).map([this](const HedgingTail& measured) {
      result_.hedging = measured;
    });
  }

  Result<void> measure_http(BenchCluster& cluster) {
    std::vector<double> p50;
    std::vector<double> p99;
    std::vector<double> per_s;
    for (std::size_t i = 0; i < slices; ++i) {
      const auto one = run_http_load(cluster.http_port(), 1, input_bytes_, slice_);
      if (!one) {
        return tl::unexpected<Error>(one.error());
      }
      const auto many =
          run_http_load(cluster.http_port(), settings_.in_flight, input_bytes_, slice_);
      if (!many) {
        return tl::unexpected<Error>(many.error());
      }
      p50.push_back(percentile(one->latencies_us, 0.5));
      p99.push_back(percentile(one->latencies_us, 0.99));
      per_s.push_back(many->per_s);
    }
    result_.http.p50_us = median(std::move(p50));
    result_.http.p99_us = median(std::move(p99));
    result_.http.per_s = median(std::move(per_s));
    return {};
  }

  /// Goes round the cycle in one session, slowly enough that the next step has been run ahead.
  Result<void> measure_hits(BenchCluster& cluster) {
    constexpr std::chrono::milliseconds think{2};
    constexpr std::uint64_t rounds_to_learn = 8;
    // A loaded machine learns the cycle later than the time allows: fewer hits say nothing.
    constexpr std::size_t hits_min = 50;
    constexpr std::chrono::seconds at_most{15};
    std::uint64_t id = 0;
    const auto opened = ask(cluster, {RequestId{++id}, {}, OpenSession{}});
    if (!opened) {
      return tl::unexpected<Error>(opened.error());
    }
    const auto* session = std::get_if<SessionOpened>(&opened->response.body);
    if (session == nullptr) {
      return fail(Errc::io, "bench: a session was not opened");
    }
    std::vector<float> latencies;
    std::vector<float> from_outside;
    std::uint64_t asked = 0;
    const auto began = Clock::now();
    const auto goes_on = [&] {
      const auto passed = Clock::now() - began;
      return passed < slices * slice_ || (latencies.size() < hits_min && passed < at_most);
    };
    for (std::uint64_t step = 0; goes_on(); ++step) {
      ConfirmCalls body;
      body.run_id = session->run_id;
      body.calls.push_back(bench_call(0, step, input_bytes_, BenchWork::brief));
      const bool is_outside = step % 2 == 0;
      const auto answer = ask(cluster, {RequestId{++id}, {}, std::move(body)},
                              is_outside ? AskFrom::caller : AskFrom::coordinator);
      if (!answer) {
        return tl::unexpected<Error>(answer.error());
      }
      const auto* answers = std::get_if<StepAnswers>(&answer->response.body);
      if (answers == nullptr) {
        return fail(Errc::io, "bench: a step was refused");
      }
      if (step >= rounds_to_learn * bench_tasks) {
        ++asked;
        if (answers->steps.front().origin == Origin::hit) {
          (is_outside ? from_outside : latencies).push_back(static_cast<float>(answer->latency_us));
        }
      }
      std::this_thread::sleep_for(think);
    }
    result_.hit.p50_us = percentile(latencies, 0.5);
    result_.hit.p99_us = percentile(latencies, 0.99);
    result_.hit_from_outside.p50_us = percentile(from_outside, 0.5);
    result_.hit_from_outside.p99_us = percentile(from_outside, 0.99);
    const auto hits = static_cast<double>(latencies.size() + from_outside.size());
    result_.hit_share = asked > 0 ? hits / static_cast<double>(asked) : 0;
    return {};
  }

  Result<void> measure_sessions(BenchCluster& cluster) {
    constexpr std::size_t sessions = 2'000;
    constexpr std::size_t steps = 10;
    std::vector<RunId> opened;
    std::uint64_t id = 0;
    const double before = allocated_bytes();
    for (std::size_t i = 0; i < sessions; ++i) {
      OpenSession body;
      body.mode = SpeculationMode::off;
      const auto answer = ask(cluster, {RequestId{++id}, {}, std::move(body)});
      const auto* session = answer ? std::get_if<SessionOpened>(&answer->response.body) : nullptr;
      if (session == nullptr) {
        return fail(Errc::io, "bench: a session was not opened");
      }
      opened.push_back(session->run_id);
    }
    const double open = allocated_bytes();
    for (std::size_t i = 0; i < sessions / steps; ++i) {
      for (std::size_t step = 0; step < steps; ++step) {
        ConfirmCalls body;
        body.run_id = opened[i];
        body.calls.push_back(bench_call(i, step, input_bytes_, BenchWork::distinct));
        if (auto answer = ask(cluster, {RequestId{++id}, {}, std::move(body)}); !answer) {
          return tl::unexpected<Error>(answer.error());
        }
      }
    }
    result_.session_bytes = (open - before) / sessions;
    result_.session_step_bytes = (allocated_bytes() - open) / sessions;
    return {};
  }

  /// Sessions of ten tasks each, of which every one is new.
  void measure_tasks() {
    constexpr std::size_t sessions = 200;
    constexpr std::size_t tasks = 10;
    const double before = allocated_bytes();
    PredictionGraph graph;
    for (std::size_t session = 0; session < sessions; ++session) {
      const RunId run_id{WorkerId{}, session};
      for (std::size_t task = 0; task < tasks; ++task) {
        json::Object input;
        input.set("item", std::uint64_t{task});
        graph.observe(
            run_id, "bench",
            Call::make("task_" + std::to_string(session * tasks + task), std::move(input)),
            Output::make(json::Object()));
      }
      graph.end(run_id);
    }
    result_.task_bytes = (allocated_bytes() - before) / (sessions * tasks);
  }

  void measure_hash() {
    constexpr std::size_t bytes = 1024;
    constexpr int repeats = 500;
    json::Object input;
    while (json::canonical(input).size() < bytes) {
      json::Object item;
      item.set("sku", "W-" + std::to_string(100'000 + input.size()));
      item.set("price", 19.99 + static_cast<double>(input.size()));
      item.set("gift", input.size() % 3 == 0);
      input.set("item_" + std::to_string(input.size()), std::move(item));
    }
    const std::string text = Call::make("order", std::move(input)).canonical();
    std::vector<double> times;
    for (std::size_t run = 0; run < 21; ++run) {
      const auto started = Clock::now();
      for (int i = 0; i < repeats; ++i) {
        const auto call = Call::parse(text);
        if (!call) {
          return;
        }
      }
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - started).count() /
                      repeats);
    }
    result_.jcs_hash_1kib_us = median(std::move(times));
  }

  /// Processor time a step by part: threads of the coordinator and of the nodes.
  static std::vector<std::pair<std::string, double>> shares_of(const LoadResult& load) {
    std::map<std::string, double> sums;
    double steps = 0;
    for (const LoadSlice& slice : load.slices) {
      steps += static_cast<double>(slice.steps);
      for (const auto& [name, time] : slice.coordinator_cpu) {
        sums["coordinator: " + name] += static_cast<double>(time.count());
      }
      for (const auto& [name, time] : slice.node_cpu) {
        sums["node: " + name] += static_cast<double>(time.count());
      }
    }
    std::vector<std::pair<std::string, double>> shares;
    for (const auto& [name, time] : sums) {
      if (steps > 0 && time / steps >= 0.05) {
        shares.emplace_back(name, time / steps);
      }
    }
    return shares;
  }

  const BenchSettings settings_;
  std::ostream& progress_;
  const Duration slice_;
  const std::size_t input_bytes_;
  std::filesystem::path folder_;
  BenchResult result_;
  std::vector<double> raw_p50_;
  std::vector<double> raw_p99_;
  std::vector<double> raw_per_s_;
};

}  // namespace

Result<int> run_bench(const BenchSettings& settings, std::ostream& out, std::ostream& progress) {
  Bench bench(settings, progress);
  if (settings.check) {
    return bench.check(out);
  }
  const auto result = bench.run();
  if (!result) {
    return tl::unexpected<Error>(result.error());
  }
  (settings.is_json ? print_bench_json : print_bench_table)(*result, settings, out);
  return exit_ok;
}

Result<int> run_bench_peer(std::size_t reply_bytes) {
  const CurveKeyPair keys = CurveKeyPair::generate();
  const auto served = serve_raw_replies(reply_bytes, keys, [&keys](std::uint16_t port) {
    json::Object ready;
    ready.set("event", "ready");
    ready.set("port", std::uint64_t{port});
    ready.set("key", to_hex(keys.public_key));
    print_event(json::canonical(ready));
  });
  if (!served) {
    return tl::unexpected<Error>(served.error());
  }
  return exit_ok;
}

}  // namespace forerun
