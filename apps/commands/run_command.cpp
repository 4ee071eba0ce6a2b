#include <iostream>
#include <memory>
#include <random>

#include "apps/commands/client_flags.hpp"
#include "apps/commands/commands.hpp"
#include "client/run.hpp"
#include "demo/driver.hpp"
#include "demo/stop_on_signal.hpp"

namespace forerun {
namespace {

struct RunFlags {
  std::string file;
  ClientFlags client;
  RunSettings run;
  std::string think = "recorded";
  std::string output = "text";
};

/// Runs never meet each other's keys by chance.
std::string fresh_key() {
  std::random_device random;
  std::string key = "run";
  for (int i = 0; i < 4; ++i) {
    key += "-" + std::to_string(random());
  }
  return key;
}

Result<int> run_file(RunFlags& s) {
  const auto limits = s.client.limits();
  if (!limits) {
    return tl::unexpected(limits.error());
  }
  TraceLimits trace_limits;
  trace_limits.needs_outputs = false;
  const auto sessions = read_traces(s.file == "-" ? "/dev/stdin" : s.file, trace_limits);
  if (!sessions) {
    return tl::unexpected(sessions.error());
  }
  if (sessions->empty()) {
    return fail(Errc::invalid, s.file + ": no session");
  }
  const bool is_json = s.output == "json";
  const StopOnSignal signals;
  s.run.thinks = s.think == "recorded";
  s.run.is_stopped = [] { return StopOnSignal::is_requested(); };
  if (s.run.key.empty()) {
    s.run.key = fresh_key();
  }
  if (!is_json) {
    s.run.on_step = [](const RanSession& session, const RanStep& step) {
      std::cout << to_text(session, step) << std::flush;
    };
  }
  const RunReport ran = run_sessions(
      *sessions, s.run, [&] { return make_http_session_client(s.client.url, *limits); });
  std::cout << (is_json ? json::canonical(to_json(ran)) + "\n" : to_text(ran));
  for (const RanSession& session : ran.sessions) {
    if (session.error) {
      return tl::unexpected(Error{session.error->code,
                                  "session \"" + session.name + "\": " + session.error->message});
    }
  }
  return differences_of(ran) > 0 ? exit_verification : ran.is_stopped ? exit_error : exit_ok;
}

}  // namespace

void add_run(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<RunFlags>();
  CLI::App& command = add_command(app, "run", "Confirm the calls of recorded or written sessions",
                                  chosen, [s] { return report(run_file(*s)); });
  command.add_option("file", s->file, "Sessions, one a line; - reads stdin")->required();
  add_client_flags(command, s->client);
  command.add_option("--concurrency", s->run.concurrency, "Sessions side by side")
      ->check(number_within(1, concurrency_max))
      ->capture_default_str();
  command.add_option("--think", s->think, "recorded: waits as recorded; none: does not wait")
      ->check(CLI::IsMember({"recorded", "none"}))
      ->capture_default_str();
  command.add_option("--speedup", s->run.speedup, "Divides think times")
      ->check(number_within(0, 1e6, true))
      ->capture_default_str();
  command.add_flag("--expect", s->run.compares, "Outputs must be the recorded ones, else exit 5");
  command.add_option("--speculation", s->run.speculation, "on, off or shadow")
      ->check(CLI::IsMember({"on", "off", "shadow"}))
      ->capture_default_str();
  command.add_flag("--world", s->run.has_world, "The nodes' recorded world answers (node --world)");
  command.add_option("--key", s->run.key,
                     "Prefix of the idempotency keys: the same file with the same one goes on");
  command.add_option("--output", s->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  bind_environment(command);
}

}  // namespace forerun
