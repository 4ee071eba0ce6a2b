#include "backtest/run_backtest.hpp"

#include <algorithm>
#include <cmath>

#include "backtest/oracle.hpp"
#include "backtest/sessions.hpp"
#include "base/assert.hpp"
#include "coordinator/conversation.hpp"
#include "coordinator/no_predictor.hpp"
#include "coordinator/prediction_graph.hpp"
#include "coordinator/remembered_predictions.hpp"

namespace forerun {

namespace {

constexpr Duration task_timeout = timeout_max;
/// No recorded step is longer, with all that the cluster may add.
constexpr Duration latency_max = std::chrono::hours(12);
constexpr Duration endless_budget = std::chrono::hours(24 * 40);

double seconds(Duration duration) {
  return static_cast<double>(duration.count()) / 1e6;
}

/// The thinking before each call becomes a call of its own, whose input stands for all that was
/// said so far and whose output says nothing that the next call does not.
TraceSession with_model_steps(const TraceSession& session) {
  TraceSession out;
  out.name = session.name;
  out.group = session.group;
  out.source = session.source;
  out.context = session.context;
  Conversation said;
  if (!session.context.empty()) {
    said.text(session.context);
  }
  for (const TraceStep& step : session.steps) {
    for (const std::string& text : step.texts) {
      said.text(text);
    }
    if (!step.beside_previous) {
      json::Object input;
      input.set(conversation_parameter, said.digest());
      TraceStep thinking{Call::make(model_task, std::move(input)),
                         json::Value(),
                         step.think,
                         Duration::zero(),
                         step.texts,
                         false};
      out.steps.push_back(std::move(thinking));
    }
    TraceStep tool = step;
    tool.think = Duration::zero();
    if (!step.beside_previous) {
      tool.texts.clear();
    }
    out.steps.push_back(std::move(tool));
    said.step(step.call, Output::make(step.output));
  }
  return out;
}

Task recorded_task(const std::string& name, const ReadOnlyTasks& read_only) {
  Task task;
  task.name = name;
  task.executor = ExecutorKind::world;
  task.scope = HazardScope::session;
  task.timeout = task_timeout;
  task.age_max = task_timeout;
  task.effect = name == model_task         ? Effect::pure
                : read_only.contains(name) ? Effect::read
                                           : Effect::write;
  task.idempotent = task.effect == Effect::write;
  return task;
}

/// The tasks of the record, and those that were declared, with what was said of them.
Result<Catalog> catalog_of(const std::vector<TraceSession>& sessions,
                           const ReadOnlyTasks& read_only, const DeclaredTasks& declared) {
  std::map<std::string, Task> tasks;
  for (const DeclaredTask& each : declared) {
    Task task = recorded_task(each.name, read_only);
    task.description = each.description;
    task.example = each.example;
    task.flow = {each.next, each.starts};
    tasks.emplace(each.name, std::move(task));
  }
  for (const DeclaredTask& each : declared) {
    for (const std::string& next : each.next.value_or(std::vector<std::string>())) {
      tasks.try_emplace(next, recorded_task(next, read_only));
    }
  }
  for (const TraceSession& session : sessions) {
    for (const TraceStep& step : session.steps) {
      const std::string& name = step.call.task();
      if (!tasks.contains(name)) {
        tasks.emplace(name, recorded_task(name, read_only));
      }
    }
  }
  std::vector<Task> list;
  for (auto& [name, task] : tasks) {
    list.push_back(std::move(task));
  }
  return Catalog::make(std::move(list), {}, {});
}

/// Follows sessions as their clients would: each client one after another, so many side by side.
class Pass {
public:
  /// `scored`: whose predictions are counted right or wrong; `oracle`: who is told what it follows.
  /// Either may be null.
  Pass(const std::vector<TraceSession>& sessions, const BacktestSettings& settings,
       VirtualCluster& cluster, const Predictor* scored, Oracle* oracle)
      : sessions_(sessions),
        settings_(settings),
        cluster_(cluster),
        scored_(scored),
        oracle_(oracle),
        clients_(std::min<std::size_t>(settings.concurrency, sessions.size())),
        times_(sessions.size()) {}

  BacktestPass run() {
    open_more();
    cluster_.run([this] { return ended_ == sessions_.size(); });
    FORERUN_ASSERT(ended_ == sessions_.size());
    for (std::size_t i = settings_.warm_up; i < times_.size(); ++i) {
      pass_.sessions += 1;
      pass_.serial += times_[i].serial;
      pass_.actual += times_[i].actual;
      pass_.serial_s.push_back(seconds(times_[i].serial));
      pass_.actual_s.push_back(seconds(times_[i].actual));
    }
    const CoordinatorCounters& counters = cluster_.machine().counters();
    pass_.launched = counters.speculations - before_.speculations;
    pass_.hits = counters.hits - before_.hits;
    pass_.late_hits = counters.late_hits - before_.late_hits;
    pass_.useful = counters.useful - before_.useful;
    pass_.wasted = counters.wasted - before_.wasted;
    pass_.turned_off = cluster_.machine().usefulness().turned_off();
    return std::move(pass_);
  }

private:
  /// Follows one session at a time. Stays where it is: what is to happen refers to it.
  struct Client {
    bool is_busy = false;
    std::size_t session = 0;  ///< Of sessions_.
    std::size_t step = 0;
    RunId run_id;
    Instant began{};
    Duration serial{};
  };
  struct Times {
    Duration serial{}, actual{};
  };

  const TraceSession& session_of(const Client& client) const { return sessions_[client.session]; }

  /// Each idle client gets the next session. Those that only teach end before the others begin.
  void open_more() {
    if (ended_ == settings_.warm_up && !counts_) {
      counts_ = true;
      before_ = cluster_.machine().counters();
      cluster_.restart_budget();
    }
    for (Client& client : clients_) {
      if (!client.is_busy && next_ < (counts_ ? sessions_.size() : settings_.warm_up)) {
        client = {};
        client.is_busy = true;
        client.session = next_++;
        open(client);
      }
    }
  }

  void open(Client& client) {
    OpenSession body;
    body.context = session_of(client).context;
    body.world = session_of(client).name;
    cluster_.ask(tenant_of(session_of(client)), body, [this, &client](const ResponseBody& answer) {
      const auto* opened = std::get_if<SessionOpened>(&answer);
      FORERUN_ASSERT(opened != nullptr);
      client.run_id = opened->run_id;
      if (oracle_ != nullptr) {
        oracle_->follow(client.run_id, session_of(client));
      }
      client.began = cluster_.now();
      before_call(client);
    });
  }

  /// The texts that reach the session before the call, then the thinking.
  void before_call(Client& client) {
    const TraceSession& session = session_of(client);
    if (client.step >= session.steps.size()) {
      finish(client);
      return;
    }
    const TraceStep& step = session.steps[client.step];
    for (const std::string& text : step.texts) {
      AddText body;
      body.run_id = client.run_id;
      body.text = text;
      cluster_.ask(tenant_of(session), body, [](const ResponseBody&) {});
    }
    client.serial += *step.think;
    cluster_.after(*step.think, [this, &client] { confirm(client); });
  }

  void confirm(Client& client) {
    const TraceSession& session = session_of(client);
    ConfirmCalls body;
    body.run_id = client.run_id;
    std::size_t end = client.step;
    Duration longest{};
    do {
      const TraceStep& step = session.steps[end];
      if (end == client.step && counts_ && scored_ != nullptr && step.call.task() != model_task) {
        const Expectation expected = scored_->expect(client.run_id, {});
        pass_.accuracy.count(expected, step.call);
        if (settings_.watch) {
          settings_.watch(session, end, expected.calls);
        }
      }
      body.calls.push_back(step.call);
      longest = std::max(longest, *step.latency);
      pass_.steps += counts_ && step.call.task() != model_task ? 1 : 0;
      ++end;
    } while (end < session.steps.size() && session.steps[end].beside_previous &&
             body.calls.size() < calls_per_request_max);
    body.is_list = body.calls.size() > 1;
    client.serial += longest;
    client.step = end;
    ask(client, std::move(body));
  }

  /// Who is sent away, because too many wait, comes back when it is told to.
  void ask(Client& client, ConfirmCalls body) {
    cluster_.ask(
        tenant_of(session_of(client)), body, [this, &client, body](const ResponseBody& answer) {
          if (const auto* failed = std::get_if<RequestFailed>(&answer)) {
            FORERUN_ASSERT(failed->retry_after > Duration::zero());
            pass_.sent_away += counts_ ? 1 : 0;
            cluster_.after(failed->retry_after, [this, &client, body] { ask(client, body); });
            return;
          }
          answered(client, std::get<StepAnswers>(answer));
        });
  }

  void answered(Client& client, const StepAnswers& answers) {
    bool is_hit = false;
    const std::size_t first = client.step - answers.steps.size();
    for (std::size_t i = 0; i < answers.steps.size(); ++i) {
      const StepAnswer& each = answers.steps[i];
      FORERUN_ASSERT(!each.failed);
      if (counts_ && each.origin != Origin::miss) {
        const json::Value& recorded = session_of(client).steps[first + i].output;
        pass_.wrong_answers += each.output == json::canonical(recorded) ? 0 : 1;
      }
      is_hit = is_hit || each.origin == Origin::hit;
    }
    cluster_.after(is_hit ? settings_.costs.hit : Duration::zero(),
                   [this, &client] { before_call(client); });
  }

  void finish(Client& client) {
    times_[client.session] = {client.serial, cluster_.now() - client.began};
    if (counts_ && scored_ != nullptr) {
      std::vector<Prediction> made = scored_->predict(client.run_id, {});
      std::erase_if(made, [](const Prediction& each) { return each.call.task() == model_task; });
      pass_.accuracy.count_end(made);
    }
    EndSession body;
    body.run_id = client.run_id;
    cluster_.ask(tenant_of(session_of(client)), body, [this, &client](const ResponseBody&) {
      client.is_busy = false;
      ++ended_;
      open_more();
    });
  }

  const std::vector<TraceSession>& sessions_;
  const BacktestSettings& settings_;
  VirtualCluster& cluster_;
  const Predictor* scored_;
  Oracle* oracle_;
  std::vector<Client> clients_;
  std::vector<Times> times_;  ///< Of each session.
  BacktestPass pass_;
  CoordinatorCounters before_;
  bool counts_ = false;
  std::size_t next_ = 0;
  std::size_t ended_ = 0;
};

/// What the brain would refuse in the midst of a run.
Result<void> check_sessions(const std::vector<TraceSession>& sessions) {
  for (const TraceSession& session : sessions) {
    const std::string place = "session \"" + session.name + "\": ";
    const std::size_t steps_max = CoordinatorSettings().steps_per_session_max;
    if (session.steps.size() > steps_max) {
      return fail(Errc::invalid, place + std::to_string(session.steps.size()) +
                                     " steps, expected at most " + std::to_string(steps_max) +
                                     " (model steps included)");
    }
    for (std::size_t i = 0; i < session.steps.size(); ++i) {
      if (*session.steps[i].latency > latency_max) {
        return fail(Errc::invalid, place + "step " + std::to_string(i) + ": " +
                                       std::to_string(session.steps[i].latency->count() / 1000) +
                                       " ms, expected at most 12 hours");
      }
    }
  }
  return {};
}

/// Whether a session without speculation takes longer than its recorded times, one call after the
/// other and the longest of those side by side.
bool waits_beside_calls(const std::vector<TraceSession>& sessions,
                        const BacktestSettings& settings) {
  return settings.costs.dispatch > Duration::zero() || settings.concurrency > settings.slots ||
         std::any_of(sessions.begin(), sessions.end(), [](const TraceSession& session) {
           return std::any_of(session.steps.begin(), session.steps.end(),
                              [](const TraceStep& step) { return step.beside_previous; });
         });
}

/// False where there is nothing to scale.
bool scale_thinking(std::vector<TraceSession>& sessions, double tool_to_think) {
  Duration tool{};
  Duration think{};
  for (const TraceSession& session : sessions) {
    for (const TraceStep& step : session.steps) {
      tool += *step.latency;
      think += *step.think;
    }
  }
  if (tool <= Duration::zero() || think <= Duration::zero()) {
    return false;
  }
  const double factor = seconds(tool) / seconds(think) / tool_to_think;
  for (TraceSession& session : sessions) {
    for (TraceStep& step : session.steps) {
      step.think = Duration(std::llround(static_cast<double>(step.think->count()) * factor));
    }
  }
  return true;
}

/// To so many parts of one: 0.8824, where a multiple of 0.0001 would be 0.8824000000000001.
json::Value rounded(double value, double parts) {
  return std::round(value * parts) / parts;
}

}  // namespace

double BacktestPass::saved_ratio() const {
  return serial > Duration::zero() ? 1.0 - seconds(actual) / seconds(serial) : 0.0;
}

double BacktestPass::waste_ratio() const {
  return useful > Duration::zero() ? seconds(wasted) / seconds(useful) : 0.0;
}

Result<BacktestReport> run_backtest(std::vector<TraceSession> sessions,
                                    const BacktestSettings& settings) {
  std::erase_if(sessions, [](const TraceSession& session) { return session.steps.empty(); });
  model_missing_times(sessions, settings.seed, settings.times);
  std::vector<TraceSession> history = settings.history;
  std::vector<TraceSession> measured = std::move(sessions);
  if (settings.train_share) {
    SplitSessions split = split_by_group(std::move(measured), *settings.train_share, settings.seed,
                                         std::move(history));
    history = std::move(split.history);
    measured = std::move(split.measured);
  }
  if (measured.size() <= settings.warm_up) {
    return fail(Errc::invalid, "nothing to measure: " + std::to_string(measured.size()) +
                                   " sessions are left after the training share, the first " +
                                   std::to_string(settings.warm_up) + " only teach");
  }
  if (settings.tool_to_think && !scale_thinking(measured, *settings.tool_to_think)) {
    return fail(
        Errc::invalid,
        "a ratio of tool to think time: the sessions measured have no think time or no tool "
        "time, expected both");
  }
  if (settings.model_steps) {
    for (std::vector<TraceSession>* played : {&history, &measured}) {
      std::transform(played->begin(), played->end(), played->begin(), with_model_steps);
    }
  }
  if (const auto checked = check_sessions(measured); !checked) {
    return tl::unexpected(checked.error());
  }
  ReadOnlyTasks read_only = settings.read_only;
  ReadOnlyTasks pure;
  if (settings.model_steps) {
    read_only.insert(model_task);
    pure.insert(model_task);
  }
  auto catalog = catalog_of(measured, read_only, settings.declared);
  if (!catalog) {
    return tl::unexpected(catalog.error());
  }
  const RecordedWorld world(measured, read_only, settings.seed, 1.0, settings.times, pure);
  CoordinatorSettings machine;
  machine.version = "backtest";
  machine.catalog = std::move(*catalog);
  machine.admission = settings.admission;
  machine.usefulness = settings.usefulness;
  machine.hedge.share = 0;  // A second run would take as long as the first.

  BacktestReport report;
  report.budget = settings.admission.waste_ratio_max;
  report.is_upper_bound = settings.is_upper_bound;
  {
    PredictionSettings prediction;
    prediction.model_task = settings.model_steps ? model_task : "";
    auto graph = std::make_unique<PredictionGraph>(prediction);
    const Predictor& asked_afresh = *graph;
    auto predictor = std::make_unique<RememberedPredictions>(std::move(graph));
    predictor->declare(declared_tasks(machine.catalog));
    learn_from(*predictor, history);
    predictor->set_learning(!settings.train_share);
    VirtualCluster cluster(machine, std::move(predictor), world, settings.slots, settings.costs);
    report.measured = Pass(measured, settings, cluster, &asked_afresh, nullptr).run();
  }
  if (settings.runs_oracle) {
    auto owned = std::make_unique<Oracle>();
    Oracle& oracle = *owned;
    learn_from(oracle, history);
    oracle.set_learning(!settings.train_share);
    // What it runs ahead is asked for, so there is no waste to keep within bounds.
    machine.admission.bucket_max = endless_budget;
    machine.admission.bucket_first = endless_budget;
    VirtualCluster cluster(machine, std::move(owned), world, settings.slots, settings.costs);
    report.oracle = Pass(measured, settings, cluster, nullptr, &oracle).run();
  }
  if (waits_beside_calls(measured, settings)) {
    // What the same machine takes without speculation: calls side by side wait for slots, and for
    // each other where one writes what another touches.
    machine.admission = settings.admission;
    VirtualCluster cluster(machine, std::make_unique<NoPredictor>(), world, settings.slots,
                           settings.costs);
    const BacktestPass plain = Pass(measured, settings, cluster, nullptr, nullptr).run();
    for (BacktestPass* pass : {&report.measured, report.oracle ? &*report.oracle : nullptr}) {
      if (pass != nullptr) {
        pass->serial = plain.actual;
        pass->serial_s = plain.actual_s;
      }
    }
  }
  return report;
}

json::Value BacktestReport::to_json() const {
  const Accuracy& accuracy = measured.accuracy;
  const double steps = std::max<double>(1, static_cast<double>(accuracy.steps));
  const auto share = [&](std::uint64_t count) {
    return rounded(static_cast<double>(count) / steps, 1e4);
  };
  json::Object out;
  out.set("sessions", measured.sessions);
  out.set("steps", measured.steps);
  out.set("serial_s", rounded(seconds(measured.serial), 1e3));
  out.set("actual_s", rounded(seconds(measured.actual), 1e3));
  out.set("saved_ratio", rounded(measured.saved_ratio(), 1e4));
  out.set("oracle_saved_ratio", oracle ? rounded(oracle->saved_ratio(), 1e4) : json::Value());
  out.set("waste_ratio", rounded(measured.waste_ratio(), 1e4));
  out.set("budget", budget);
  out.set("launched", measured.launched);
  out.set("hits", measured.hits);
  out.set("late_hits", measured.late_hits);
  out.set("next_task_top1", share(accuracy.task_top1));
  out.set("next_task_top3", share(accuracy.task_top3));
  out.set("exact_call_top1", share(accuracy.call_top1));
  out.set("exact_call_top3", share(accuracy.call_top3));
  out.set("brier", rounded(accuracy.brier(), 1e4));
  out.set("ece", rounded(accuracy.ece(), 1e4));
  json::Array bins;
  for (const Accuracy::Bin& bin : accuracy.reliability) {
    if (bin.count == 0) {
      continue;
    }
    json::Object row;
    row.set("p", rounded(bin.stated / static_cast<double>(bin.count), 1e4));
    row.set("n", bin.count);
    row.set("hit", rounded(static_cast<double>(bin.came) / static_cast<double>(bin.count), 1e4));
    bins.push_back(std::move(row));
  }
  out.set("reliability", std::move(bins));
  out.set("wrong_answers", measured.wrong_answers);
  out.set("sent_away", measured.sent_away);
  json::Array off;
  for (const auto& [tenant, task] : measured.turned_off) {
    json::Object row;
    row.set("tenant", tenant);
    row.set("task", task);
    off.emplace_back(std::move(row));
  }
  out.set("turned_off", std::move(off));
  out.set("upper_bound", is_upper_bound);
  return out;
}

}  // namespace forerun
