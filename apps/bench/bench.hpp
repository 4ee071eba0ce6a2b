#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "apps/bench/tail.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

namespace forerun {

/// What can be measured alone, beside the raw round trip.
inline constexpr std::array<const char*, 10> bench_parts = {
    "step", "durable", "three_nodes",     "saturated", "predicting",
    "hit",  "http",    "confirmed_first", "hedging",   "memory"};

/// The flags of `forerun bench`.
struct BenchSettings {
  std::filesystem::path binary;  ///< The `forerun` program, for nodes and the raw peer.
  double seconds = 2;            ///< For each thing that is measured.
  std::size_t in_flight = 64;
  std::size_t saturated = 1024;  ///< Steps side by side where neither side ever waits.
  std::size_t size = 400;        ///< Bytes of the frame that brings one step to a node.
  std::string only;              ///< Measure this part alone: one of bench_parts; empty for all.
  bool check = false;            ///< Only show that the benchmark cannot flatter itself.
  bool is_json = false;
};

/// Rates and latencies of one way to run steps.
struct BenchRate {
  double p50_us = 0;
  double p99_us = 0;
  double per_s = 0;
  double coordinator_cpu_us = 0;  ///< A step, with `in_flight` of them.
  double node_cpu_us = 0;         ///< A step, of all nodes together.
};

struct BenchResult {
  BenchRate raw;
  BenchRate step;
  BenchRate durable;
  BenchRate three_nodes;
  BenchRate three_nodes_durable;
  BenchRate saturated;  ///< The same three with `saturated` steps in flight.
  BenchRate saturated_durable;
  BenchRate saturated_three_nodes;
  BenchRate predicting;
  BenchRate http;
  BenchRate hit;
  BenchRate hit_from_outside;  ///< Asked from another thread: two of them are woken.
  double hit_share = 0;        ///< Of the steps that were to be hits.
  double predicting_hits = 0;  ///< Share of steps that a speculation answered, finished or not.
  ConfirmedFirst confirmed_first;
  HedgingTail hedging;
  double jcs_hash_1kib_us = 0;
  std::uint64_t syncs = 0;
  std::uint64_t durable_steps = 0;
  std::uint64_t largest_batch = 0;
  double session_bytes = 0;       ///< Open, without a step.
  double session_step_bytes = 0;  ///< More with each step.
  double task_bytes = 0;          ///< Of each task that a predictor knows.
  /// Of a step with `in_flight` of them, µs of processor time by part.
  std::vector<std::pair<std::string, double>> shares;
  std::vector<std::pair<std::string, double>> shares_durable;
};

/// Measures, then prints. Errors: io; verification when a check fails.
Result<int> run_bench(const BenchSettings& settings, std::ostream& out, std::ostream& progress);

void print_bench_json(const BenchResult& result, const BenchSettings& settings, std::ostream& out);
void print_bench_table(const BenchResult& result, const BenchSettings& settings, std::ostream& out);

/// The peer of the raw round trip: prints {"event":"ready","port":…,"key":…}, then answers for
/// ever.
Result<int> run_bench_peer(std::size_t reply_bytes);

}  // namespace forerun
