#include "apps/commands/commands.hpp"

#include <algorithm>
#include <memory>

#include "apps/coordinator_process.hpp"

namespace forerun {
namespace {

struct CoordinatorFlags {
  CoordinatorProcessSettings process;
  double bucket_s = 300;
  double session_idle_s = 86'400;
  std::uint64_t adopt_wait_ms = 1000;
  double probe_after_s = 300;
  double probe_after_max_s = 21'600;
};

/// What turns tasks and races off, and when they are probed.
void add_usefulness(CLI::App& command, CoordinatorFlags& flags) {
  UsefulnessSettings& usefulness = flags.process.usefulness;
  command
      .add_option("--control-share", usefulness.control_share,
                  "Share of sessions that run nothing ahead, by a hash of the run ID: what the "
                  "others are compared with")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--improvement-min", usefulness.improvement_min,
                  "A task that saves a smaller share of its wait is turned off")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--winner-share-max", usefulness.winner_share_max,
                  "A race in which one branch wins more often starts its branches one by one")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--probe-after-s", flags.probe_after_s,
                  "How long what is turned off stays so at first; twice as long each further time")
      ->check(CLI::Range(0.1, 31'536'000.0))
      ->capture_default_str();
  command
      .add_option("--probe-after-max-s", flags.probe_after_max_s, "The longest it stays turned off")
      ->check(CLI::Range(0.1, 31'536'000.0))
      ->capture_default_str();
}

/// Who may ask over HTTP, and how.
void add_access(CLI::App& command, CoordinatorProcessSettings& process) {
  command.add_option("--tokens", process.tokens,
                     "Who may ask what over HTTP: a file of `forerun keys token`; without it "
                     "whoever reaches --http may ask anything");
  command.add_option("--tls-certificate", process.tls_certificate,
                     "Serve HTTPS: the server's certificate and what it is signed by (PEM)");
  command.add_option("--tls-key", process.tls_key, "Its key (PEM, mode 0600 or 0640)");
  command.add_option("--http-name", process.http_names,
                     "A name that clients may call this server (Host); may repeat");
  command.add_flag("--behind-tls-proxy", process.is_behind_tls_proxy,
                   "Serve --http beyond loopback without TLS, since a proxy before it ends TLS");
}

}  // namespace

void add_coordinator(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<CoordinatorFlags>();
  CLI::App& command = add_command(app, "coordinator", "Run a coordinator", chosen, [s] {
    s->process.admission.bucket_max = Duration(static_cast<std::int64_t>(s->bucket_s * 1e6));
    s->process.usefulness.probe_after = Duration(static_cast<std::int64_t>(s->probe_after_s * 1e6));
    s->process.usefulness.probe_after_max =
        std::max(s->process.usefulness.probe_after,
                 Duration(static_cast<std::int64_t>(s->probe_after_max_s * 1e6)));
    s->process.adopt_wait = std::chrono::milliseconds(s->adopt_wait_ms);
    s->process.session_idle_max = Duration(static_cast<std::int64_t>(s->session_idle_s * 1e6));
    return report(run_coordinator(s->process));
  });
  AdmissionSettings& admission = s->process.admission;
  command.add_option("--data", s->process.data, "Data directory: ledger, keys; one owner")
      ->capture_default_str();
  command.add_option("--catalog", s->process.catalog, "Tasks, races and pools (docs/catalog.md)")
      ->required();
  command.add_option("--listen", s->process.listen, "HOST:PORT for nodes")->capture_default_str();
  command.add_option("--publish-port", s->process.publish_port,
                     "Port of the ledger's publication; 0: any");
  command.add_option("--http", s->process.http, "HOST:PORT for clients")->capture_default_str();
  add_access(command, s->process);
  command
      .add_option(
          "--policy", admission.policy,
          "What is run ahead: `value` weighs time hidden against waste, `bands` looks at the "
          "confidence alone")
      ->transform(CLI::CheckedTransformer(
                      std::map<std::string, AdmissionPolicy>{{"value", AdmissionPolicy::value},
                                                             {"bands", AdmissionPolicy::bands}})
                      .description("{bands,value}"))
      ->default_str(to_string(admission.policy));
  command
      .add_option("--start-above", admission.start_above, "`bands`: speculate at this confidence")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--idle-above", admission.idle_above,
                  "`bands`: speculate at this confidence on idle slots")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command.add_option("--waste-max", admission.waste_ratio_max, "Waste, of committed slot time")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--waste-bucket-s", s->bucket_s,
                  "Size of the waste budget, in seconds of slot time")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
  command.add_option("--depth-max", admission.depth_max, "How many calls ahead")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  add_usefulness(command, *s);
  command
      .add_option("--hedge-share", s->process.hedge.share,
                  "Second attempts of slow confirmed pure and read calls on another node, of "
                  "confirmed attempts; 0: none")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--recheck-share", s->process.recheck_share,
                  "Confirmed steps of deterministic pure tasks that another node runs again when "
                  "it is idle; a node whose answers two others contradict gets no work; 0: none")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--effect-attempts", s->process.effect_attempts_max,
                  "To deliver an effect, before it is parked")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      .add_option("--learn-again", s->process.history.learn_again_steps_max,
                  "Latest steps that a start learns again, from ledger and taught sessions")
      ->check(number_within(0, 10'000'000))
      ->capture_default_str();
  command
      .add_option("--prediction-memory-mb", s->process.prediction_megabytes,
                  "What is learned and what open sessions hold for predictions, at most about")
      ->check(number_within(16, 1'048'576))
      ->capture_default_str();
  command
      .add_option("--taught-max", s->process.history.sessions_max,
                  "Taught sessions kept for a tenant; the oldest go first")
      ->check(number_within(1, 1'000'000))
      ->capture_default_str();
  command
      .add_option("--session-idle-s", s->session_idle_s,
                  "End a session that no client has asked for this long")
      ->check(CLI::Range(1.0, 31'536'000.0))
      ->capture_default_str();
  command
      .add_option("--adopt-wait-ms", s->adopt_wait_ms,
                  "How long a start waits to hear whether nodes hold signed entries that this "
                  "store has lost; 0: it does not ask")
      ->check(number_within(0, 600'000))
      ->capture_default_str();
  command
      .add_option("--race-log-share", s->process.race_log_share,
                  "Share of sessions whose races are logged; slow winners always are")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--replay", s->process.replay,
                  "An export: take its run IDs and arrival orders, on an empty store")
      ->check(existing_folder());
  command.add_option("--plant", s->process.plant, "A bug, to see that it is caught")
      ->check(CLI::IsMember({"skip-hazards"}));
  bind_environment(command);
}

}  // namespace forerun
