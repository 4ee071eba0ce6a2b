#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>

#include "base/result.hpp"
#include "demo/http_client.hpp"

namespace forerun {

/// The flags of `forerun verify`.
struct VerifySettings {
  std::string url = "http://127.0.0.1:7480";
  HttpLimits http;                      ///< How the coordinator is asked.
  std::filesystem::path export_folder;  ///< Not empty: judge this export, no cluster.
  std::uint32_t sample = 16;            ///< Steps to run again.
  std::uint64_t seed = 0;               ///< Of the sample; the auditor's own.
  std::uint32_t deadline_s = 60;        ///< For nodes to read their replicas, and for the sample.
  std::uint32_t nodes_min = 1;          ///< Fewer nodes in the cluster are a finding.
  std::string first_key;                ///< 64 hex digits; empty: the first term's key is trusted.
};

/// Judges a ledger and prints one JSON object on `out`; what does not hold goes to `problems`, one
/// line each. Returns the exit code: 0; 5 when anything does not hold; 1 when nothing is wrong, but
/// steps of the sample were not run again in time. Errors: nothing could be judged.
Result<int> verify_cluster(const VerifySettings& settings, std::ostream& out,
                           std::ostream& problems);
Result<int> verify_export(const VerifySettings& settings, std::ostream& out,
                          std::ostream& problems);

}  // namespace forerun
