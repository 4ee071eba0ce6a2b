#include <iostream>
#include <memory>
#include <thread>

#include "apps/commands/client_flags.hpp"
#include "apps/commands/commands.hpp"
#include "client/learn.hpp"
#include "demo/http_retry.hpp"
#include "files/session_files.hpp"

namespace forerun {
namespace {

struct LearnFlags {
  std::vector<std::filesystem::path> traces;
  std::string format = "traces";
  ClientFlags client;
  bool forgets = false;
  std::string output = "json";
};

Result<std::vector<TraceSession>> read_all(const LearnFlags& s) {
  const auto format = parse_session_format(s.format);
  if (!format) {
    return tl::unexpected(format.error());
  }
  std::vector<TraceSession> sessions;
  SessionNames names;
  for (const std::filesystem::path& path : s.traces) {
    auto file = read_session_file(path, *format);
    if (!file) {
      return tl::unexpected(file.error());
    }
    for (const std::string& note : file->notes) {
      std::cerr << "forerun learn: " << path.string() << ": " << note << '\n';
    }
    if (auto added = add_sessions(sessions, std::move(file->sessions), path, names); !added) {
      return tl::unexpected(added.error());
    }
  }
  return sessions;
}

Result<int> forget(HttpClient& http) {
  const auto answer = ask_again("forget", true, [&http] { return http.del("/v1/history"); });
  if (!answer) {
    return tl::unexpected(answer.error());
  }
  std::cout << json::canonical(answer->body) << '\n';
  return exit_ok;
}

Result<json::Value> body_of(Result<HttpAnswer> answer) {
  if (!answer) {
    return tl::unexpected(answer.error());
  }
  return std::move(answer->body);
}

Result<int> run_learn(const LearnFlags& s) {
  const auto limits = s.client.limits();
  if (!limits) {
    return tl::unexpected(limits.error());
  }
  HttpClient http(s.client.url, *limits);
  if (s.forgets) {
    return forget(http);
  }
  const auto sessions = read_all(s);
  if (!sessions) {
    return tl::unexpected(sessions.error());
  }
  LearnPorts ports;
  ports.post = [&http](const std::string& body) {
    return body_of(ask_again("learn", true, [&] { return http.post("/v1/history", body); }));
  };
  ports.status = [&http] {
    return body_of(ask_again("status", true, [&http] { return http.get("/v1/status"); }));
  };
  ports.pause = [](Duration duration) { std::this_thread::sleep_for(duration); };
  ports.progress = [](const std::string& line) { std::cerr << "forerun learn: " << line << '\n'; };
  const auto report = learn(*sessions, ports);
  if (!report) {
    return tl::unexpected(report.error());
  }
  std::cout << (s.output == "json" ? json::canonical(to_json(*report)) + "\n" : to_text(*report));
  return report->refused > 0 ? exit_refused : exit_ok;
}

}  // namespace

void add_learn(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<LearnFlags>();
  CLI::App& command = add_command(app, "learn", "Teach a coordinator from recorded sessions",
                                  chosen, [s] { return report(run_learn(*s)); });
  CLI::Option* const traces =
      command
          .add_option("traces", s->traces,
                      "Files of sessions; a folder is what `forerun ledger export` wrote")
          ->check(existing_path());
  command.add_option("--format", s->format, "traces, openai-messages or otel-genai")
      ->check(CLI::IsMember({"traces", "openai-messages", "otel-genai"}))
      ->capture_default_str();
  add_client_flags(command, s->client);
  CLI::Option* const forget = command.add_flag(
      "--forget", s->forgets, "Drop every session that was taught, instead of teaching");
  forget->excludes(traces);
  command.add_option("--output", s->output, "json or text")
      ->check(CLI::IsMember({"json", "text"}))
      ->capture_default_str();
  command.parse_complete_callback([s] {
    if (s->traces.empty() && !s->forgets) {
      throw CLI::RequiredError("TRACES or --forget");
    }
  });
  bind_environment(command);
}

}  // namespace forerun
