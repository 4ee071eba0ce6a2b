#include "coordinator/race_log.hpp"

#include "base/json.hpp"
#include "base/sha256.hpp"
#include "coordinator/share.hpp"

namespace forerun {
namespace {

bool winner_was_slower(const CommitEntry& commit) {
  if (!commit.winner || !commit.branch_latencies[*commit.winner]) {
    return false;
  }
  for (const std::optional<Duration>& latency : commit.branch_latencies) {
    if (latency && *latency < *commit.branch_latencies[*commit.winner]) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::optional<std::string> race_log_record(const CommitEntry& commit, double share) {
  if (commit.branch_names.size() < 2 ||
      (!winner_was_slower(commit) && !is_in_share(sha256(to_string(commit.run_id)), share))) {
    return std::nullopt;
  }
  json::Array names;
  json::Array latencies;
  json::Array validities;
  for (std::size_t i = 0; i < commit.branch_names.size(); ++i) {
    names.emplace_back(commit.branch_names[i]);
    const auto& latency = commit.branch_latencies[i];
    latencies.emplace_back();
    if (latency) {
      latencies.back() = milliseconds_of(*latency);
    }
    const auto& valid = commit.branch_validities[i];
    validities.emplace_back();
    if (valid) {
      validities.back() = *valid;
    }
  }
  json::Object record;
  record.set("run_id", to_string(commit.run_id));
  record.set("step", std::uint64_t{commit.step.value});
  record.set("input_hash", to_hex(commit.input_hash));
  record.set("branch_names", std::move(names));
  record.set("branch_latencies_ms", std::move(latencies));
  record.set("branch_validities", std::move(validities));
  record.set("winning_branch_index", commit.winner ? static_cast<double>(*commit.winner) : -1.0);
  record.set("deterministic_tie_breaker_seed", seed_text(commit.chain));
  return json::canonical(record);
}

}  // namespace forerun
