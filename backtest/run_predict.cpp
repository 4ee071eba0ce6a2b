#include "backtest/run_predict.hpp"

#include <algorithm>
#include <utility>

#include "backtest/recorded_admission.hpp"
#include "backtest/sessions.hpp"
#include "coordinator/prediction_graph.hpp"
#include "coordinator/prediction_report.hpp"
#include "files/catalog_file.hpp"
#include "speculation/catalog.hpp"

namespace forerun {
namespace {

Result<std::vector<TraceSession>> read_all(const std::vector<std::filesystem::path>& paths,
                                           SessionFormat format) {
  std::vector<TraceSession> all;
  SessionNames names;
  for (const std::filesystem::path& path : paths) {
    auto file = read_session_file(path, format);
    if (!file) {
      return tl::unexpected(file.error());
    }
    if (auto added = add_sessions(all, std::move(file->sessions), path, names); !added) {
      return tl::unexpected(added.error());
    }
  }
  return all;
}

tl::unexpected<Error> no_such_session(const std::vector<TraceSession>& sessions,
                                      const std::string& name) {
  std::vector<std::string> known;
  for (const TraceSession& session : sessions) {
    known.push_back(session.name);
  }
  const auto near = nearest_name(name, known);
  return fail(Errc::not_found, "--session: \"" + name + "\": no such session with a step" +
                                   (near ? "; did you mean \"" + *near + "\"?" : ""));
}

json::Value recorded_call(const TraceSession& session, std::size_t at,
                          const std::vector<Prediction>& predictions) {
  if (at >= session.steps.size()) {
    return {};
  }
  const Call& call = session.steps[at].call;
  json::Object recorded;
  recorded.set("task", call.task());
  recorded.set("input", call.input());
  json::Value rank;
  for (std::size_t i = 0; i < predictions.size() && rank.is_null(); ++i) {
    if (predictions[i].call == call) {
      rank = std::uint64_t{i + 1};
    }
  }
  recorded.set("rank", std::move(rank));
  return recorded;
}

}  // namespace

Result<json::Value> predict_recorded(const PredictSettings& settings) {
  auto history = read_all(settings.train, settings.format);
  auto sessions = read_all(settings.traces, settings.format);
  if (!history || !sessions) {
    return tl::unexpected(!history ? history.error() : sessions.error());
  }
  const auto found = std::find_if(
      sessions->begin(), sessions->end(),
      [&settings](const TraceSession& session) { return session.name == settings.session; });
  if (found == sessions->end()) {
    return no_such_session(*sessions, settings.session);
  }
  const TraceSession session = std::move(*found);
  sessions->erase(found, sessions->end());
  std::move(sessions->begin(), sessions->end(), std::back_inserter(*history));
  const std::size_t at = settings.at.value_or(session.steps.size());
  if (at > session.steps.size()) {
    return fail(Errc::not_found, "--at: " + std::to_string(at) + ": the session has " +
                                     std::to_string(session.steps.size()) + " steps");
  }

  PredictionGraph predictor;
  std::optional<Catalog> catalog;
  if (!settings.catalog.empty()) {
    auto file = read_catalog(settings.catalog);
    if (!file) {
      return tl::unexpected(file.error());
    }
    catalog = std::move(file->catalog);
    predictor.declare(declared_tasks(*catalog));
  }
  RecordedAdmission admission(std::move(catalog));
  for (const TraceSession& each : *history) {
    admission.learn(each, each.steps.size());
  }
  admission.learn(session, at);
  learn_from(predictor, *history);
  const RunId run_id{};
  follow(predictor, run_id, session, at);
  Question question;
  question.limit = settings.limit;
  question.explains = true;
  const Expectation expected = predictor.expect(run_id, question);
  const std::vector<Prediction>& predictions = expected.calls;

  json::Array list;
  for (const Prediction& prediction : predictions) {
    json::Object told = report_of(prediction);
    told.set("admission",
             admission.judge(prediction.call.task(),
                             prediction.probability * prediction.premise_probability,
                             at == 0 ? std::string() : session.steps[at - 1].call.task()));
    list.emplace_back(std::move(told));
  }
  std::uint64_t steps = 0;
  for (const TraceSession& each : *history) {
    steps += each.steps.size();
  }
  json::Object learned;
  learned.set("sessions", std::uint64_t{history->size()});
  learned.set("steps", steps);
  json::Object report;
  report.set("session", session.name);
  report.set("after_step", at == 0 ? json::Value() : json::Value(std::uint64_t{at - 1}));
  report.set("learned", std::move(learned));
  report.set("predictions", std::move(list));
  report.set("tasks", report_of(expected.tasks));
  report.set("end_probability", predictor.end_probability(run_id, question));
  report.set("admission_assumes", admission.assumes());
  report.set("recorded", recorded_call(session, at, predictions));
  return json::Value(std::move(report));
}

}  // namespace forerun
