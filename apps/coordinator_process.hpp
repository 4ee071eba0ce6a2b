#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "coordinator/prediction_graph.hpp"
#include "coordinator/settings.hpp"

namespace forerun {

/// The flags of `forerun coordinator`.
struct CoordinatorProcessSettings {
  std::filesystem::path data = "forerun-data";
  std::filesystem::path catalog;
  std::string listen = "127.0.0.1:7400";  ///< For nodes.
  std::uint16_t publish_port = 0;         ///< On the same host; 0: the system chooses.
  std::string http = "127.0.0.1:7480";
  std::vector<std::string> http_names;    ///< What clients may call it, besides its addresses.
  std::filesystem::path tokens;           ///< Empty: whoever reaches `http` may ask anything.
  std::filesystem::path tls_certificate;  ///< PEM; empty: no TLS.
  std::filesystem::path tls_key;
  bool is_behind_tls_proxy = false;
  AdmissionSettings admission;
  UsefulnessSettings usefulness;
  HedgeSettings hedge;
  double recheck_share = 0.01;
  std::uint32_t effect_attempts_max = EffectSettings{}.attempts_max;
  double race_log_share = CoordinatorSettings{}.race_log_share;
  HistoryLimits history;
  std::size_t prediction_megabytes = forerun::prediction_megabytes;
  Duration adopt_wait = std::chrono::seconds(1);  ///< AdoptionSettings::wait.
  Duration session_idle_max = CoordinatorSettings{}.session_idle_max;
  std::filesystem::path replay;  ///< An export: takes given run IDs, on an empty store.
  std::string plant;             ///< A bug to show that it is caught: "skip-hazards".
};

/// Runs a coordinator until SIGTERM or SIGINT. Prints one line of JSON when it is ready. Returns
/// the exit code.
Result<int> run_coordinator(const CoordinatorProcessSettings& settings);

}  // namespace forerun
