#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "apps/bench/bench_cluster.hpp"
#include "base/time.hpp"
#include "speculation/call.hpp"

namespace forerun {

enum class BenchWork {
  distinct,  ///< Every call is one of a kind.
  cycle,     ///< The same calls round and round, which a predictor learns.
  brief,     ///< As cycle, of tasks that take a moment.
  nap,       ///< As cycle, of tasks that take 5 ms without a processor.
};
/// Call number `step` of session `session`. Its canonical input has `input_bytes` bytes, if it has
/// room for its own members.
Call bench_call(std::size_t session, std::uint64_t step, std::size_t input_bytes, BenchWork work);

/// Nearest rank of unsorted values; 0 for none.
double percentile(std::vector<float> values, double share);
double median(std::vector<double> values);

struct LoadSettings {
  std::size_t in_flight = 1;  ///< Sessions, each of which has one step on its way.
  std::size_t input_bytes = 200;
  SpeculationMode mode = SpeculationMode::off;
  BenchWork work = BenchWork::distinct;
  Duration warm_up = std::chrono::milliseconds(300);
  Duration slice = std::chrono::milliseconds(600);
  std::size_t slices = 3;
};

/// What was seen in one slice of time.
struct LoadSlice {
  Duration time{};
  std::uint64_t steps = 0;  ///< Answered.
  std::uint64_t hits = 0;
  std::uint64_t late_hits = 0;
  std::map<std::string, Duration> coordinator_cpu;  ///< By thread.
  std::map<std::string, Duration> node_cpu;         ///< Of all nodes, by thread.
  double per_s() const;
};
struct LoadResult {
  std::vector<LoadSlice> slices;
  std::vector<float> latencies_us;  ///< Confirmed → answered, of all slices.
  std::uint64_t refused = 0;        ///< Requests answered with a failure.
  double per_s() const;             ///< Median of the slices.
  double per_step_us(std::map<std::string, Duration> LoadSlice::*cpu) const;
};

/// Confirms steps as fast as they are answered: the next one is made where the last one's answer
/// arrives, on the coordinator's own thread. Errors: io when a session cannot be opened or an
/// answer stays away.
class Load {
public:
  static Result<std::unique_ptr<Load>> start(BenchCluster& cluster, const LoadSettings& settings);
  virtual ~Load() = default;
  /// Watches for as long as the settings say.
  virtual LoadResult measure() = 0;
  /// Lets what is on its way be answered, and ends the sessions. Call it before the end.
  virtual Result<void> stop() = 0;
};

/// start(), measure() and stop().
Result<LoadResult> run_load(BenchCluster& cluster, const LoadSettings& settings);

/// One request at a time.
struct Asked {
  ClientResponse response;
  double latency_us = 0;  ///< From handing it over until its answer is there, on whatever thread.
};
enum class AskFrom {
  caller,       ///< The caller's thread: handing it over wakes the coordinator's.
  coordinator,  ///< The coordinator's own thread, where an answer to something else has just come.
};
Result<Asked> ask(BenchCluster& cluster, ClientRequest request, AskFrom from = AskFrom::caller);

}  // namespace forerun
