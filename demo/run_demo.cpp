#include "demo/run_demo.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <ostream>
#include <thread>
#include <utility>
#include <vector>

#include "cluster/local/temporary_folder.hpp"
#include "demo/driver.hpp"
#include "demo/local_cluster.hpp"
#include "demo/report.hpp"
#include "demo/session_client.hpp"
#include "demo/stop_on_signal.hpp"
#include "demo/workload.hpp"
#include "files/trace_writer.hpp"

namespace forerun {
namespace {

constexpr Duration ledgers_equal_within = std::chrono::seconds(10);
constexpr Duration ledgers_asked_every = std::chrono::milliseconds(50);
constexpr std::size_t block_per_concurrency =
    3;  ///< Long enough that a block's tail weighs little.

Result<void> check(const DemoSettings& settings) {
  if (!(settings.speedup > 0 && settings.speedup <= 1e6)) {
    return fail(Errc::invalid, "demo: --speedup: expected more than 0 and at most 1000000");
  }
  if (settings.nodes == 0 || settings.nodes > demo_nodes_max) {
    return fail(Errc::invalid, "demo: --nodes: expected 1 to " + std::to_string(demo_nodes_max));
  }
  if (settings.slots == 0) {
    return fail(Errc::invalid, "demo: --slots: expected at least 1");
  }
  if (settings.concurrency == 0 || settings.concurrency > concurrency_max) {
    return fail(Errc::invalid,
                "demo: --concurrency: expected 1 to " + std::to_string(concurrency_max));
  }
  if (settings.sessions > demo_sessions_max) {
    return fail(Errc::invalid,
                "demo: --sessions: expected at most " + std::to_string(demo_sessions_max));
  }
  if (settings.traces.empty() && !settings.read_only.empty()) {
    return fail(Errc::invalid, "demo: --read-only: expected only with --traces");
  }
  std::error_code problem;
  if (!settings.export_folder.empty() && std::filesystem::exists(settings.export_folder, problem) &&
      !(std::filesystem::is_directory(settings.export_folder, problem) &&
        std::filesystem::is_empty(settings.export_folder, problem))) {
    return fail(Errc::refused, "demo: --export: " + settings.export_folder.string() +
                                   ": not an empty folder; give one that is new");
  }
  return {};
}

Result<Workload> make_workload(const DemoSettings& settings) {
  if (settings.traces.empty()) {
    WorkloadSettings own;
    own.seed = settings.seed;
    own.sessions = settings.sessions != 0 ? settings.sessions : default_demo_sessions;
    return generate_workload(own);
  }
  RecordedSettings recorded;
  recorded.file = settings.traces;
  recorded.read_only = settings.read_only;
  recorded.sessions = settings.sessions != 0 ? settings.sessions : default_recorded_sessions;
  recorded.seed = settings.seed;
  return read_workload(recorded);
}

/// One run of the demo. Members are in the order of their making: clusters end before their folder
/// is removed.
class Demo {
public:
  Demo(const DemoSettings& settings, std::ostream& progress, TemporaryFolder folder,
       Workload workload)
      : settings_(settings),
        progress_(progress),
        folder_(std::move(folder)),
        workload_(std::move(workload)) {}

  Result<DemoReport> run() {
    if (auto written = write_files(); !written) {
      return tl::unexpected(written.error());
    }
    for (const Pass pass : passes) {
      auto cluster = LocalCluster::start(cluster_settings(pass));
      if (!cluster) {
        return tl::unexpected(cluster.error());
      }
      clusters_.push_back(std::move(*cluster));
      progress_ << "started a cluster with speculation " << name_of(pass) << ": a coordinator and "
                << settings_.nodes << " nodes" << std::endl;
      if (StopOnSignal::is_requested()) {
        return fail(Errc::refused, "demo: stopped");
      }
    }
    auto driven = drive_both();
    if (!driven) {
      return tl::unexpected(explained(driven.error()));
    }
    auto report = measure(*driven);
    for (LocalCluster& cluster : clusters_) {
      cluster.stop();
    }
    if (report && !settings_.export_folder.empty()) {
      if (auto exported = export_ledgers(); !exported) {
        return tl::unexpected(exported.error());
      }
    }
    return report;
  }

private:
  static const char* name_of(Pass pass) { return pass == Pass::off ? "off" : "on"; }
  LocalCluster& cluster(Pass pass) { return clusters_[index_of(pass)]; }

  std::filesystem::path world_file() const {
    return folder_.path() / (workload_.file_stem + ".jsonl");
  }
  std::filesystem::path catalog_file() const { return folder_.path() / "catalog.toml"; }

  /// The nodes answer from exactly the sessions that are driven, with the times that were recorded
  /// or modelled here.
  Result<void> write_files() const {
    std::ofstream catalog(catalog_file(), std::ios::binary);
    catalog << workload_.catalog;
    catalog.close();
    if (!catalog) {
      return fail(Errc::io, "demo: cannot write " + catalog_file().string());
    }
    return write_traces(world_file(), workload_.sessions);
  }

  LocalClusterSettings cluster_settings(Pass pass) const {
    LocalClusterSettings cluster;
    cluster.binary = settings_.binary;
    cluster.folder = folder_.path() / name_of(pass);
    cluster.catalog = catalog_file();
    cluster.nodes = settings_.nodes;
    cluster.slots = settings_.slots;
    cluster.seed = settings_.seed;
    cluster.world = world_file();
    cluster.read_only = workload_.read_only;
    cluster.speedup = settings_.speedup;
    // Every session of the one pass is compared with its pair in the other: no further control.
    // Nor does anything but speculation make the one faster than the other.
    cluster.coordinator_flags = {"--control-share", "0", "--hedge-share", "0"};
    if (pass == Pass::on && !settings_.plant.empty()) {
      cluster.coordinator_flags.insert(cluster.coordinator_flags.end(),
                                       {"--plant", settings_.plant});
    }
    return cluster;
  }

  Result<DriveResult> drive_both() {
    DriveSettings drive_settings;
    drive_settings.concurrency = settings_.concurrency;
    drive_settings.block = settings_.concurrency * block_per_concurrency;
    drive_settings.speedup = settings_.speedup;
    drive_settings.is_stopped = StopOnSignal::is_requested;
    drive_settings.on_progress = [this](const DriveProgress& done) {
      progress_ << "speculation " << (done.pass == Pass::off ? "off" : "on ") << "  "
                << done.sessions_done << " of " << done.sessions << " sessions" << std::endl;
    };
    return drive(workload_, drive_settings, [this](Pass pass) {
      HttpLimits limits;
      limits.is_stopped = StopOnSignal::is_requested;
      return make_http_session_client(cluster(pass).url(), limits);
    });
  }

  Error explained(Error error) {
    for (LocalCluster& cluster : clusters_) {
      if (const std::string ended = cluster.ended_process(); !ended.empty()) {
        error.message += "\n" + ended;
      }
    }
    return error;
  }

  Result<DemoReport> measure(const DriveResult& driven) {
    ReportInput input{workload_, driven, settings_.speedup, settings_.seed, {}, {}, {}};
    for (const Pass pass : passes) {
      auto status = settled_status(pass, pass == Pass::off ? input.ledger_off : input.ledger_on);
      if (!status) {
        return tl::unexpected(explained(status.error()));
      }
      if (pass == Pass::on) {
        auto busy = read_worker_time(*status);
        if (!busy) {
          return tl::unexpected(busy.error());
        }
        input.busy = *busy;
      }
    }
    return make_report(input);
  }

  /// The cluster's status once all ledgers are equal, or when waiting for that has taken too long.
  Result<json::Value> settled_status(Pass pass, LedgerComparison& ledger) {
    const auto client = make_http_session_client(cluster(pass).url());
    const auto deadline = std::chrono::steady_clock::now() + ledgers_equal_within;
    while (true) {
      auto status = client->status();
      if (!status) {
        return status;
      }
      auto comparison = compare_ledgers(*status, settings_.nodes);
      if (!comparison) {
        return tl::unexpected(comparison.error());
      }
      ledger = *comparison;
      if (ledger.agree || std::chrono::steady_clock::now() >= deadline ||
          StopOnSignal::is_requested()) {
        return status;
      }
      std::this_thread::sleep_for(ledgers_asked_every);
    }
  }

  Result<void> export_ledgers() {
    // The other cluster's ledger lies inside this one's folder, which must be new when it is
    // written.
    for (const Pass pass : {Pass::on, Pass::off}) {
      const std::filesystem::path target =
          pass == Pass::on ? settings_.export_folder : settings_.export_folder / "off";
      if (auto done = export_ledger(settings_.binary, cluster(pass).coordinator_data(), target);
          !done) {
        return done;
      }
    }
    progress_ << "exported the speculating cluster's ledger to " << settings_.export_folder.string()
              << std::endl;
    return {};
  }

  const DemoSettings& settings_;
  std::ostream& progress_;
  TemporaryFolder folder_;
  Workload workload_;
  std::vector<LocalCluster> clusters_;
};

void write_where_next(const DemoSettings& settings, std::ostream& out) {
  out << "\nwhere to look next:\n";
  if (settings.plant.empty()) {
    out << "  forerun demo --plant skip-hazards      a planted bug, and the comparison that "
           "catches it\n";
  }
  if (settings.traces.empty()) {
    out << "  forerun demo --traces FILE             the same with recorded agent sessions\n";
  }
  if (settings.export_folder.empty()) {
    out << "  forerun demo --export DIR              keeps every decision, for an auditor\n";
  }
  out << "  forerun dev CATALOG                    a cluster to talk to with curl\n"
      << "  docs/                                  how it decides, and what must always hold\n";
}

int failed(const Error& error, std::ostream& progress, int code) {
  progress << "error: " << error.message << std::endl;
  return code;
}

}  // namespace

int run_demo(const DemoSettings& settings, std::ostream& out, std::ostream& progress) {
  if (auto checked = check(settings); !checked) {
    return failed(checked.error(), progress, checked.error().code == Errc::refused ? 4 : 2);
  }
  auto workload = make_workload(settings);
  if (!workload) {
    return failed(workload.error(), progress, 1);
  }
  auto folder = TemporaryFolder::make("forerun-demo");
  if (!folder) {
    return failed(folder.error(), progress, 1);
  }
  const StopOnSignal signals;
  Demo demo(settings, progress, std::move(*folder), std::move(*workload));
  const auto report = demo.run();
  if (!report) {
    return failed(report.error(), progress, 1);
  }
  if (settings.is_json) {
    out << json::canonical(to_json(*report)) << std::endl;
  } else {
    out << "\n" << to_table(*report);
    write_where_next(settings, out);
    out.flush();
  }
  return exit_code(*report);
}

}  // namespace forerun
