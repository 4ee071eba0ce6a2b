#include <iostream>
#include <memory>

#include "apps/commands/client_flags.hpp"
#include "apps/commands/commands.hpp"
#include "backtest/run_predict.hpp"
#include "coordinator/prediction_report.hpp"
#include "demo/http_retry.hpp"

namespace forerun {
namespace {

struct PredictFlags {
  std::vector<std::string> subjects;  ///< A run ID, or with --session files.
  PredictSettings recorded;
  std::string format = "traces";
  ClientFlags client;
  std::string output = "text";
};

Result<json::Value> ask_coordinator(const PredictFlags& s) {
  if (s.subjects.size() != 1) {
    return fail(Errc::invalid, "RUN_ID: found " + std::to_string(s.subjects.size()) +
                                   " of them, expected one; with --session these are files");
  }
  const auto run_id = RunId::parse(s.subjects.front());
  if (!run_id) {
    return fail(Errc::invalid,
                "RUN_ID: " + run_id.error().message + "; with --session it is a file");
  }
  const auto limits = s.client.limits();
  if (!limits) {
    return tl::unexpected(limits.error());
  }
  HttpClient http(s.client.url, *limits);
  auto answer = ask_again(s.client.url, true, [&] {
    return http.get("/v1/sessions/" + to_string(*run_id) + "/predictions");
  });
  if (!answer) {
    return tl::unexpected(answer.error());
  }
  return std::move(answer->body);
}

Result<json::Value> look_into_record(PredictFlags& s) {
  const auto format = parse_session_format(s.format);
  if (!format) {
    return tl::unexpected(format.error());
  }
  s.recorded.format = *format;
  s.recorded.traces.assign(s.subjects.begin(), s.subjects.end());
  return predict_recorded(s.recorded);
}

Result<int> tell(PredictFlags& s) {
  const auto found = s.recorded.session.empty() ? ask_coordinator(s) : look_into_record(s);
  if (!found) {
    return tl::unexpected(found.error());
  }
  std::cout << (s.output == "json" ? json::canonical(*found) + "\n" : predictions_text(*found));
  return exit_ok;
}

}  // namespace

void add_predict(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<PredictFlags>();
  CLI::App& command =
      add_command(app, "predict", "Tell what is expected next in a session, and why", chosen,
                  [s] { return report(tell(*s)); });
  command
      .add_option("subject", s->subjects,
                  "UUID/COUNTER of a running session; with --session files of recorded ones")
      ->required();
  add_client_flags(command, s->client);
  CLI::Option* const session =
      command.add_option("--session", s->recorded.session, "Name of a recorded session");
  command.add_option("--at", s->recorded.at, "The step to predict, from 0; else the next one")
      ->needs(session)
      ->check(number_within(0, whole_number_max));
  command.add_option("--train", s->recorded.train, "Files to learn from before")
      ->needs(session)
      ->check(existing_path());
  command.add_option("--catalog", s->recorded.catalog, "What a catalog.toml says of the tasks")
      ->needs(session)
      ->check(existing_file());
  command.add_option("--format", s->format, "traces, openai-messages or otel-genai")
      ->needs(session)
      ->check(CLI::IsMember({"traces", "openai-messages", "otel-genai"}));
  command.add_option("--output", s->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  bind_environment(command);
}

}  // namespace forerun
