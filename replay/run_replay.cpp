#include "replay/run_replay.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <ostream>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "cluster/local/temporary_folder.hpp"
#include "demo/driver.hpp"
#include "demo/local_cluster.hpp"
#include "demo/session_client.hpp"
#include "demo/stop_on_signal.hpp"
#include "files/catalog_file.hpp"
#include "files/ledger_export.hpp"
#include "node/executors/demo_functions.hpp"
#include "node/executors/replay_executor.hpp"
#include "replay/drive.hpp"
#include "replay/report.hpp"
#include "speculation/merkle.hpp"

namespace forerun {
namespace {

constexpr std::chrono::milliseconds nodes_looked_at_every{50};

/// What is replayed, and by which catalog.
struct Subject {
  RecordedSessions recorded;
  Catalog catalog;
  std::string head_problem;  ///< Empty when head.json holds.
};

Result<void> check(const ReplayCommandSettings& settings) {
  const auto within = [](const char* flag, std::size_t value, std::size_t max) -> Result<void> {
    if (value == 0 || value > max) {
      return fail(Errc::invalid, std::string("replay: ") + flag + ": found " +
                                     std::to_string(value) + ", expected 1 to " +
                                     std::to_string(max));
    }
    return {};
  };
  for (const auto& checked : {within("--nodes", settings.nodes, replay_nodes_max),
                              within("--workers", settings.workers, workers_per_node_max),
                              within("--slots", settings.slots, slots_per_worker_max),
                              within("--concurrency", settings.concurrency, concurrency_max)}) {
    if (!checked) {
      return checked;
    }
  }
  return {};
}

/// Every step's call must mean something to the catalog, or nothing could be asked.
Result<void> check_catalog(const Subject& subject) {
  for (const RecordedSession& session : subject.recorded.sessions) {
    for (std::size_t i = 0; i < session.replayable; ++i) {
      const std::string& task = session.steps[i].call->task();
      if (const auto plan = subject.catalog.plan(task); !plan) {
        return fail(Errc::invalid,
                    "catalog.toml: run " + to_string(session.run_id) + " step " +
                        std::to_string(i) + ": " + plan.error().message +
                        ": the export holds the catalog of its last term; give the one that the "
                        "session ran under with --catalog FILE, or other sessions with --session");
      }
    }
  }
  return {};
}

Result<void> keep_only(const std::string& run_id, RecordedSessions& recorded) {
  std::erase_if(recorded.sessions, [&](const RecordedSession& session) {
    return to_string(session.run_id) != run_id;
  });
  std::erase_if(recorded.broken,
                [&](const BrokenDecision& broken) { return broken.run_id != run_id; });
  if (recorded.sessions.empty() && recorded.broken.empty()) {
    return fail(Errc::not_found, "replay: --session " + run_id +
                                     ": no decision of such a run in the export; its ledger.jsonl "
                                     "names each as \"run_id\"");
  }
  return {};
}

/// The head must be that of these entries, signed by the term's key: else decisions at the end
/// could have been left out. What does not hold of a decision itself is told beside its replay.
Result<void> check_head(const LedgerExport& ledger) {
  merkle::Frontier tree;
  std::optional<PublicKey> key;
  for (const std::string& leaf : ledger.leaves) {
    tree.append(merkle::leaf_hash(leaf));
    if (const auto entry = entry_of(leaf)) {
      const auto* term = std::get_if<EpochEntry>(&entry->body);
      key = term == nullptr ? key : term->public_key;
    }
  }
  const SignedHead& head = ledger.head;
  const auto wrong = [](std::string_view field, const std::string& found,
                        const std::string& expected) {
    return fail(Errc::verification,
                "head.json: " + std::string(field) + ": found " + found + ", expected " + expected);
  };
  if (head.head.size != tree.size()) {
    return wrong("size", std::to_string(head.head.size),
                 std::to_string(tree.size()) + ", the entries of ledger.jsonl");
  }
  if (head.head.root != tree.root()) {
    return wrong("root", to_hex(head.head.root), to_hex(tree.root()));
  }
  if (key && head.public_key != *key) {
    return wrong("public_key", to_hex(head.public_key), to_hex(*key));
  }
  if (!verify_head(head)) {
    return wrong("signature", to_hex(head.signature), "one by key " + to_hex(head.public_key));
  }
  return {};
}

Result<Subject> read_subject(const ReplayCommandSettings& settings) {
  const auto ledger = read_ledger_export(settings.export_folder);
  if (!ledger) {
    return tl::unexpected(ledger.error());
  }
  Subject subject;
  if (const auto held = check_head(*ledger); !held) {
    subject.head_problem = held.error().message;
  }
  auto recorded = recorded_sessions(*ledger);
  if (!recorded) {
    return tl::unexpected(recorded.error());
  }
  subject.recorded = std::move(*recorded);
  if (settings.catalog.empty()) {
    auto catalog =
        parse_catalog(ledger->catalog, (settings.export_folder / "catalog.toml").string());
    if (!catalog) {
      return tl::unexpected(catalog.error());
    }
    subject.catalog = std::move(*catalog);
  } else {
    auto file = read_catalog(settings.catalog);
    if (!file) {
      return tl::unexpected(file.error());
    }
    subject.catalog = std::move(file->catalog);
  }
  if (!settings.session.empty()) {
    if (const auto kept = keep_only(settings.session, subject.recorded); !kept) {
      return tl::unexpected(kept.error());
    }
  }
  if (const auto checked = check_catalog(subject); !checked) {
    return tl::unexpected(checked.error());
  }
  return subject;
}

/// The task that answers differently: the first winner that is run again, so that the plant shows
/// in what was computed; without one the first winner.
std::string task_to_plant(const Subject& subject, bool has_commands) {
  const NativeFunctions functions = make_demo_functions({}, 1);
  std::string first;
  for (const RecordedSession& session : subject.recorded.sessions) {
    for (std::size_t i = 0; i < session.replayable; ++i) {
      const CommitEntry& entry = session.steps[i].entry;
      if (!entry.winner) {
        continue;
      }
      const std::string& name = entry.branch_names[*entry.winner];
      first = first.empty() ? name : first;
      const Task* task = subject.catalog.task(name);
      if (task != nullptr && may_run_again(*task) && can_run_here(*task, functions, has_commands)) {
        return name;
      }
    }
  }
  return first;
}

class Replay {
public:
  Replay(const ReplayCommandSettings& settings, std::ostream& progress, TemporaryFolder folder,
         Subject subject)
      : settings_(settings),
        progress_(progress),
        folder_(std::move(folder)),
        subject_(std::move(subject)) {}

  Result<ReplayReport> run() {
    if (const auto prepared = prepare(); !prepared) {
      return tl::unexpected(prepared.error());
    }
    tell_what_is_not_run();
    auto cluster = LocalCluster::start(cluster_settings());
    if (!cluster) {
      return tl::unexpected(cluster.error());
    }
    progress_ << "replaying " << subject_.recorded.sessions.size() << " sessions on "
              << settings_.nodes << " nodes, speculation "
              << (settings_.is_speculating ? "on" : "off") << std::endl;
    const auto began = std::chrono::steady_clock::now();
    ReplayDriveSettings drive;
    drive.concurrency = settings_.concurrency;
    drive.is_speculating = settings_.is_speculating;
    std::atomic<bool> has_nodes = true;
    drive.is_stopped = [&has_nodes] { return StopOnSignal::is_requested() || !has_nodes; };
    HttpLimits limits;
    limits.is_stopped = drive.is_stopped;
    {
      // Without a node nothing is answered any more, and nobody should wait for it.
      const std::jthread watcher([&](const std::stop_token& stop) {
        while (!stop.stop_requested() && has_nodes) {
          std::this_thread::sleep_for(nodes_looked_at_every);
          has_nodes = cluster->has_node();
        }
      });
      driven_ = drive_replay(subject_.recorded, drive,
                             [&] { return make_http_session_client(cluster->url(), limits); });
    }
    if (!has_nodes) {
      progress_ << "error: every node has ended, expected one that runs branches: no further step "
                   "can be answered"
                << std::endl;
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    if (StopOnSignal::is_requested()) {
      return fail(Errc::refused, "replay: stopped");
    }
    const std::size_t live = live_nodes(cluster->url());
    tell_errors(*cluster);
    cluster->stop();
    auto report = compare(cluster->coordinator_data());
    if (report) {
      report->seconds = seconds.count();
      report->nodes_live = live;
    }
    return report;
  }

  bool has_errors() const { return !driven_.errors.empty(); }

private:
  std::filesystem::path source() const { return folder_.path() / "export"; }
  std::filesystem::path cluster_folder() const { return folder_.path() / "cluster"; }

  /// The export as the cluster reads it: the same files, with the catalog that counts.
  Result<void> prepare() const {
    std::error_code problem;
    std::filesystem::create_directories(source(), problem);
    for (const char* name : ledger_export_files) {
      const bool is_given = name == std::string_view("catalog.toml") && !settings_.catalog.empty();
      const auto target =
          std::filesystem::absolute(is_given ? settings_.catalog : settings_.export_folder / name);
      if (!problem && std::filesystem::exists(target, problem)) {
        std::filesystem::create_symlink(target, source() / name, problem);
      }
    }
    if (problem) {
      return fail(Errc::io, "replay: " + source().string() + ": " + problem.message());
    }
    return {};
  }

  LocalClusterSettings cluster_settings() const {
    LocalClusterSettings cluster;
    cluster.binary = settings_.binary;
    cluster.folder = cluster_folder();
    cluster.catalog = source() / "catalog.toml";
    cluster.nodes = settings_.nodes;
    cluster.slots = settings_.slots;
    cluster.starts_without_killed = true;
    cluster.coordinator_flags = {"--replay", source().string()};
    std::string speedup;
    json::append_number(speedup, settings_.speedup);
    cluster.node_flags = {"--replay",  source().string(),
                          "--workers", std::to_string(settings_.workers),
                          "--speedup", speedup};
    if (!settings_.tasks_dir.empty()) {
      const auto folder = std::filesystem::absolute(settings_.tasks_dir).string();
      cluster.node_flags.insert(cluster.node_flags.end(), {"--tasks-dir", folder});
    }
    if (settings_.plants_wrong_output) {
      const std::string task = task_to_plant(subject_, !settings_.tasks_dir.empty());
      progress_ << "planted: task " << task << " answers differently" << std::endl;
      cluster.node_flags.insert(cluster.node_flags.end(), {"--plant-wrong-output", task});
    }
    return cluster;
  }

  /// Pure tasks that could be run again, if this program had what they need.
  void tell_what_is_not_run() const {
    const NativeFunctions functions = make_demo_functions({}, 1);
    std::set<std::string> left;
    for (const RecordedSession& session : subject_.recorded.sessions) {
      for (const RecordedStep& step : session.steps) {
        for (const std::string& name : step.entry.branch_names) {
          const Task* task = subject_.catalog.task(name);
          if (task != nullptr && may_run_again(*task) &&
              !can_run_here(*task, functions, !settings_.tasks_dir.empty())) {
            left.insert(std::string(to_string(task->executor)));
          }
        }
      }
    }
    for (const std::string& kind : left) {
      progress_ << "note: deterministic pure tasks of executor " << kind
                << " are taken as recorded: "
                << (kind == "exec"     ? "give --tasks-dir DIR, the folder of their commands"
                    : kind == "native" ? "their functions are not in this program"
                                       : "an export does not hold what answers them")
                << std::endl;
    }
  }

  static std::size_t live_nodes(const std::string& url) {
    const auto status = make_http_session_client(url)->status();
    const json::Value* nodes = status ? status->find("nodes") : nullptr;
    std::size_t live = 0;
    if (nodes != nullptr && nodes->array() != nullptr) {
      for (const json::Value& node : *nodes->array()) {
        const json::Value* flag = node.find("live");
        live += flag != nullptr && flag->boolean() != nullptr && *flag->boolean() ? 1 : 0;
      }
    }
    return live;
  }

  void tell_errors(LocalCluster& cluster) const {
    for (const auto& [run_id, error] : driven_.errors) {
      progress_ << "error: run " << to_string(run_id) << ": " << error << std::endl;
    }
    if (const std::string ended = cluster.ended_process(); !ended.empty() && has_errors()) {
      progress_ << ended << std::endl;
    }
  }

  /// What the nodes ran again, those included that were killed meanwhile.
  Result<std::set<JournalKey>> runs() const {
    std::set<JournalKey> runs;
    for (std::size_t number = 1; number <= settings_.nodes; ++number) {
      const auto file = cluster_folder() / ("node-" + std::to_string(number)) / replay_journal_name;
      if (const auto read = read_replay_journal(file, runs); !read) {
        return tl::unexpected(read.error());
      }
    }
    return runs;
  }

  Result<ReplayReport> compare(const std::filesystem::path& data) {
    const std::filesystem::path target = folder_.path() / "replayed";
    if (const auto exported = export_ledger(settings_.binary, data, target); !exported) {
      return tl::unexpected(exported.error());
    }
    const auto ledger = read_ledger_export(target);
    if (!ledger) {
      return tl::unexpected(ledger.error());
    }
    auto replayed = recorded_sessions(*ledger);
    if (!replayed) {
      return tl::unexpected(replayed.error());
    }
    replayed_ = std::move(*replayed);
    const auto ran = runs();
    if (!ran) {
      return tl::unexpected(ran.error());
    }
    ReplayReport report;
    report.subject = settings_.export_folder.string() +
                     (settings_.session.empty() ? "" : ", run " + settings_.session);
    report.sessions = subject_.recorded.sessions.size();
    report.nodes = settings_.nodes;
    report.workers = settings_.workers;
    report.slots = settings_.slots;
    report.is_speculating = settings_.is_speculating;
    report.has_story = !settings_.session.empty();
    report.head_problem = subject_.head_problem;
    report.compared =
        compare_replay(subject_.recorded, replayed_, *ran, driven_.answers, driven_.errors);
    return report;
  }

  const ReplayCommandSettings& settings_;
  std::ostream& progress_;
  TemporaryFolder folder_;
  Subject subject_;
  RecordedSessions replayed_;  ///< Like the subject, borrowed by the report.
  ReplayDriveResult driven_;
};

int failed(const Error& error, std::ostream& progress) {
  progress << "error: " << error.message << std::endl;
  switch (error.code) {
    case Errc::invalid:
      return 2;
    case Errc::not_found:
      return 3;
    case Errc::verification:
      return 5;
    case Errc::refused:
    case Errc::too_large:
    case Errc::io:
      return 1;
  }
  return 1;
}

}  // namespace

int run_replay(const ReplayCommandSettings& settings, std::ostream& out, std::ostream& progress) {
  if (const auto checked = check(settings); !checked) {
    return failed(checked.error(), progress);
  }
  auto subject = read_subject(settings);
  if (!subject) {
    return failed(subject.error(), progress);
  }
  auto folder = TemporaryFolder::make("forerun-replay");
  if (!folder) {
    return failed(folder.error(), progress);
  }
  const StopOnSignal signals;
  Replay replay(settings, progress, std::move(*folder), std::move(*subject));
  const auto report = replay.run();
  if (!report) {
    return failed(report.error(), progress);
  }
  // A reader that has seen enough (`| head`) must not keep the folder from being removed. No child
  // is left that could inherit this.
  std::signal(SIGPIPE, SIG_IGN);
  if (settings.is_json) {
    if (report->has_story) {
      progress << "\n" << story_of(report->compared);
    }
    out << json::canonical(to_json(*report)) << std::endl;
  } else {
    out << to_table(*report) << std::flush;
  }
  if (!report->head_problem.empty()) {
    progress << "difference: " << report->head_problem << std::endl;
  }
  for (const std::string& line : findings(report->compared)) {
    progress << line << std::endl;
  }
  const int code = exit_code(*report, replay.has_errors());
  if (report->compared.decision_count == 0) {
    progress << "note: the export holds no decision" << std::endl;
  } else if (code == 1) {
    progress << "error: not every decision was replayed" << std::endl;
  } else if (report->compared.executed == 0) {
    progress << "note: no task was run again, so this compares how the engine decides, not what "
                "tasks answer"
             << std::endl;
  }
  return code;
}

}  // namespace forerun
