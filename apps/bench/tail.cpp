#include "apps/bench/tail.hpp"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "apps/bench/bench_cluster.hpp"
#include "apps/bench/load.hpp"
#include "base/prng.hpp"
#include "speculation/history.hpp"

namespace forerun {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t node_slots = 8;
constexpr double bold = 0.3;  ///< Fillers start at this confidence.
constexpr std::size_t fillers_taught = 40;
constexpr std::size_t probes_min = 100;
constexpr std::chrono::seconds fill_within{5};
constexpr Duration earned_min = std::chrono::seconds(4);   ///< Of each slot,
constexpr Duration earned_max = std::chrono::seconds(15);  ///< in one answer.
constexpr std::size_t turns = 3;                           ///< Without and with speculation.
constexpr std::size_t hedged_nodes = 4;
constexpr std::size_t hedged_slots = 4;
constexpr std::chrono::milliseconds stopped_for{60};
/// Between two stops, drawn anew each time.
constexpr std::chrono::milliseconds running_min{30};
constexpr std::chrono::milliseconds running_max{90};

/// Of another task than the probes, after which something else comes.
Call filler() {
  json::Object input;
  input.set("filler", true);
  return Call::make(bench_task("noop", 1), std::move(input));
}

/// Long enough to run until it is stopped.
Call filling() {
  json::Object input;
  input.set("ms", 60'000);
  return Call::make(bench_task("nap", 0), std::move(input));
}

/// One request at a time.
class Asker {
public:
  explicit Asker(BenchCluster& cluster) : cluster_(cluster) {}

  Result<Asked> send(decltype(ClientRequest::body) body) {
    return ask(cluster_, {RequestId{++id_}, {}, std::move(body)});
  }
  Result<RunId> open(SpeculationMode mode) {
    OpenSession body;
    body.mode = mode;
    const auto asked = send(std::move(body));
    const auto* opened = asked ? std::get_if<SessionOpened>(&asked->response.body) : nullptr;
    return opened == nullptr ? Result<RunId>(fail(Errc::io, "bench: a session was not opened"))
                             : Result<RunId>(opened->run_id);
  }
  /// Its latency in µs.
  Result<double> confirm(const RunId& run_id, Call call) {
    ConfirmCalls body;
    body.run_id = run_id;
    body.calls.push_back(std::move(call));
    const auto asked = send(std::move(body));
    if (!asked || !std::holds_alternative<StepAnswers>(asked->response.body)) {
      return fail(Errc::io, "bench: a step was not answered");
    }
    return asked->latency_us;
  }
  /// A number of the status.
  Result<double> status(const char* object, const char* member) {
    const auto asked = send(ShowStatus{});
    const auto* report = asked ? std::get_if<JsonReport>(&asked->response.body) : nullptr;
    const json::Value* part = report == nullptr ? nullptr : report->body.find(object);
    const json::Value* value = part == nullptr ? nullptr : part->find(member);
    if (value == nullptr || value->number() == nullptr) {
      return fail(Errc::io, std::string("bench: no ") + object + "." + member + " in the status");
    }
    return *value->number();
  }

private:
  BenchCluster& cluster_;
  std::uint64_t id_ = 0;
};

/// What speculation may waste is what confirmed work took before: so long in every slot.
Result<void> earn(Asker& asker, Duration each) {
  const auto session = asker.open(SpeculationMode::off);
  if (!session) {
    return tl::unexpected<Error>(session.error());
  }
  ConfirmCalls body;
  body.run_id = *session;
  body.is_list = true;
  for (std::size_t i = 0; i < node_slots; ++i) {
    json::Object input;
    input.set("ms", each / std::chrono::milliseconds(1));
    input.set("item", std::uint64_t{i});
    body.calls.push_back(Call::make(bench_task("nap", 1), std::move(input)));
  }
  const auto asked = asker.send(std::move(body));
  if (!asked || !std::holds_alternative<StepAnswers>(asked->response.body)) {
    return fail(Errc::io, "bench: a list of steps was not answered");
  }
  return {};
}

Result<void> teach_fillers(Asker& asker) {
  LearnHistory history;
  for (std::size_t i = 0; i < fillers_taught; ++i) {
    HistorySession session;
    session.name = "filler-" + std::to_string(i);
    session.steps.push_back({{}, filler(), Output::make(json::Object())});
    session.steps.push_back({{}, filling(), Output::make(json::Object())});
    history.sessions.push_back({session.name, 2, history_text(session)});
  }
  const auto taught = asker.send(std::move(history));
  if (!taught || std::holds_alternative<RequestFailed>(taught->response.body)) {
    return fail(Errc::io, "bench: sessions were not taught");
  }
  return {};
}

/// Opens sessions, each of which runs one long call ahead, until these take every slot.
Result<void> fill(Asker& asker) {
  const auto until = Clock::now() + fill_within;
  for (;;) {
    const auto running = asker.status("speculation", "running");
    if (!running) {
      return tl::unexpected<Error>(running.error());
    }
    if (*running >= static_cast<double>(node_slots)) {
      return {};
    }
    if (Clock::now() > until) {
      return fail(Errc::io, "bench: speculation takes " + std::to_string(*running) + " of " +
                                std::to_string(node_slots) + " slots, expected all");
    }
    const auto session = asker.open(SpeculationMode::on);
    if (!session) {
      return tl::unexpected<Error>(session.error());
    }
    if (const auto done = asker.confirm(*session, filler()); !done) {
      return tl::unexpected<Error>(done.error());
    }
  }
}

/// Confirms no-ops one at a time, each after `prepare`.
Result<std::vector<float>> probe(Asker& asker, Duration time,
                                 const std::function<Result<void>()>& prepare) {
  const auto session = asker.open(SpeculationMode::off);
  if (!session) {
    return tl::unexpected<Error>(session.error());
  }
  std::vector<float> latencies;
  const auto until = Clock::now() + time;
  while (Clock::now() < until || latencies.size() < probes_min) {
    if (const auto ready = prepare(); !ready) {
      return tl::unexpected<Error>(ready.error());
    }
    const auto latency =
        asker.confirm(*session, bench_call(1, latencies.size(), 100, BenchWork::distinct));
    if (!latency) {
      return tl::unexpected<Error>(latency.error());
    }
    latencies.push_back(static_cast<float>(*latency));
  }
  return latencies;
}

BenchClusterSettings cluster_of(const TailSettings& settings, const char* name) {
  BenchClusterSettings result;
  result.binary = settings.binary;
  result.folder = settings.folder / name;
  return result;
}

/// Learns, and so runs ahead.
BenchClusterSettings learning_cluster_of(const TailSettings& settings, const char* name) {
  BenchClusterSettings result = cluster_of(settings, name);
  result.slots = node_slots;
  result.learns = true;
  return result;
}

Result<void> measure_preempting(const TailSettings& settings, ConfirmedFirst& result) {
  BenchClusterSettings cluster_settings = learning_cluster_of(settings, "preempting");
  cluster_settings.admission.start_above = bold;
  cluster_settings.admission.idle_above = bold;
  auto cluster = BenchCluster::start(cluster_settings);
  if (!cluster) {
    return tl::unexpected<Error>(cluster.error());
  }
  Asker asker(**cluster);
  const auto idle = probe(asker, settings.time, [] { return Result<void>(); });
  if (!idle) {
    return tl::unexpected<Error>(idle.error());
  }
  if (auto taught = teach_fillers(asker); !taught) {
    return taught;
  }
  if (auto earned = earn(asker, std::clamp(4 * settings.time, earned_min, earned_max)); !earned) {
    return earned;
  }
  const auto busy = probe(asker, settings.time, [&asker] { return fill(asker); });
  if (!busy) {
    return tl::unexpected<Error>(busy.error());
  }
  result.idle_p50_us = percentile(*idle, 0.5);
  result.idle_p99_us = percentile(*idle, 0.99);
  result.busy_p50_us = percentile(*busy, 0.5);
  result.busy_p99_us = percentile(*busy, 0.99);
  result.preempting = busy->size();
  return {};
}

/// A few more calls at once than there are slots, in turns without and with speculation.
Result<void> measure_full(const TailSettings& settings, ConfirmedFirst& result) {
  BenchClusterSettings cluster_settings = learning_cluster_of(settings, "full");
  cluster_settings.admission = AdmissionSettings{};  // As a coordinator has it.
  auto cluster = BenchCluster::start(cluster_settings);
  if (!cluster) {
    return tl::unexpected<Error>(cluster.error());
  }
  std::vector<double> p99[2];
  std::vector<double> per_s[2];
  for (std::size_t turn = 0; turn < 2 * turns; ++turn) {
    LoadSettings load;
    load.in_flight = node_slots + node_slots / 4;
    load.work = BenchWork::nap;
    load.mode = turn % 2 == 0 ? SpeculationMode::off : SpeculationMode::on;
    load.slice = settings.time;
    load.slices = 1;
    const auto done = run_load(**cluster, load);
    if (!done) {
      return tl::unexpected<Error>(done.error());
    }
    p99[turn % 2].push_back(percentile(done->latencies_us, 0.99));
    per_s[turn % 2].push_back(done->per_s());
  }
  result.full_off_p99_us = median(p99[0]);
  result.full_on_p99_us = median(p99[1]);
  result.full_off_per_s = median(per_s[0]);
  result.full_on_per_s = median(per_s[1]);
  return {};
}

/// Stops a node again and again, until it is destroyed. Each stop comes when the node has calls and
/// is as little loaded as the others, and is over before its load says much: placement sees none of
/// it beforehand.
class Slowdown {
public:
  explicit Slowdown(int pid)
      : thread_([pid](const std::stop_token& stop) {
          Prng prng(static_cast<std::uint64_t>(pid));
          constexpr auto spread = static_cast<std::uint64_t>((running_max - running_min).count());
          while (!stop.stop_requested()) {
            std::this_thread::sleep_for(running_min +
                                        std::chrono::milliseconds(prng.below(spread + 1)));
            ::kill(pid, SIGSTOP);
            std::this_thread::sleep_for(stopped_for);
            ::kill(pid, SIGCONT);
          }
        }) {}

private:
  std::jthread thread_;
};

/// A cluster of which one node stops, while it is loaded.
Result<std::unique_ptr<BenchCluster>> start_hedged(const TailSettings& settings, double share) {
  BenchClusterSettings cluster_settings = cluster_of(settings, share > 0 ? "hedged" : "unhedged");
  cluster_settings.nodes = hedged_nodes;
  cluster_settings.slots = hedged_slots;
  cluster_settings.hedge_share = share;
  return BenchCluster::start(cluster_settings);
}

Result<std::vector<float>> load_hedged(const TailSettings& settings, BenchCluster& cluster) {
  const Slowdown slowdown(cluster.node_pids().back());
  LoadSettings load;
  load.in_flight = 2 * hedged_nodes;
  load.work = BenchWork::nap;
  load.warm_up = settings.time / 2;  // Until the task's p95 is known.
  load.slice = settings.time;
  load.slices = 1;
  return run_load(cluster, load).map([](const LoadResult& done) { return done.latencies_us; });
}

/// Second attempts, of steps.
Result<double> second_share_of(BenchCluster& cluster) {
  Asker asker(cluster);
  const auto seconds = asker.status("hedging", "started");
  const auto steps = asker.status("steps", "total");
  if (!seconds || !steps) {
    return tl::unexpected<Error>(seconds ? steps.error() : seconds.error());
  }
  return *steps > 0 ? *seconds / *steps : 0;
}

}  // namespace

Result<ConfirmedFirst> measure_confirmed_first(const TailSettings& settings) {
  ConfirmedFirst result;
  if (const auto done = measure_preempting(settings, result); !done) {
    return tl::unexpected<Error>(done.error());
  }
  if (const auto done = measure_full(settings, result); !done) {
    return tl::unexpected<Error>(done.error());
  }
  return result;
}

Result<HedgingTail> measure_hedging(const TailSettings& settings) {
  std::unique_ptr<BenchCluster> clusters[2];
  for (const bool is_on : {false, true}) {
    auto cluster = start_hedged(settings, is_on ? HedgeSettings().share : 0);
    if (!cluster) {
      return tl::unexpected<Error>(cluster.error());
    }
    clusters[is_on ? 1 : 0] = std::move(*cluster);
  }
  std::vector<double> p50[2];
  std::vector<double> p99[2];
  for (std::size_t turn = 0; turn < 2 * turns; ++turn) {
    const auto latencies = load_hedged(settings, *clusters[turn % 2]);
    if (!latencies) {
      return tl::unexpected<Error>(latencies.error());
    }
    p50[turn % 2].push_back(percentile(*latencies, 0.5));
    p99[turn % 2].push_back(percentile(*latencies, 0.99));
  }
  const auto second_share = second_share_of(*clusters[1]);
  if (!second_share) {
    return tl::unexpected<Error>(second_share.error());
  }
  return HedgingTail{median(p50[0]), median(p99[0]), median(p50[1]), median(p99[1]), *second_share};
}

}  // namespace forerun
