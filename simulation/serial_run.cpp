#include "simulation/serial_run.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/assert.hpp"
#include "coordinator/machine.hpp"
#include "simulation/guesser.hpp"

namespace forerun::simulation {
namespace {

constexpr ConnectionId only_connection{1};
constexpr Duration tick = std::chrono::milliseconds(1);
/// A step is a handful of turns; more is a session that never ends.
constexpr int turns_max = 1000;

CoordinatorSettings serial_settings(const Catalog& catalog) {
  CoordinatorSettings settings;
  settings.version = "serial";
  settings.catalog = catalog;
  settings.accept_given_run_ids = true;
  return settings;
}

/// The brain, a disk that never fails and a worker that answers at once.
class SerialCluster {
public:
  SerialCluster(const Catalog& catalog, const SigningKey& key)
      : catalog_(catalog),
        machine_(serial_settings(catalog), key, std::make_unique<Guesser>(std::string())) {
    take(machine_.start(now_));
    Join join;
    join.name = "node";
    join.instance = 1;
    join.workers.push_back({WorkerId{Uuid::from_random({})}, slots, 0});
    inputs_.emplace_back(said(std::move(join)));
  }

  void ask(decltype(ClientRequest::body) body) {
    answer_.reset();
    inputs_.emplace_back(ClientRequest{RequestId{++requests_}, "tenant", std::move(body)});
  }
  /// Goes on until the latest request is answered.
  std::optional<ResponseBody> answer() {
    for (int turn = 0; turn < turns_max && !answer_; ++turn) {
      std::vector<CoordinatorInput> inputs = std::exchange(inputs_, {});
      if (inputs.empty()) {
        inputs.emplace_back(TimePassed{});
      }
      now_ += tick;
      take(machine_.step(now_, inputs));
    }
    return std::move(answer_);
  }

private:
  static constexpr std::uint32_t slots = 8;

  static NodeSaid said(NodeMessage message) {
    return {only_connection, NodeId{"node"}, std::move(message)};
  }
  void take(CoordinatorOutput output) {
    if (output.persist) {
      inputs_.emplace_back(Persisted{output.persist->number});
    }
    for (const ToNode& message : output.send) {
      if (const auto* dispatch = std::get_if<Dispatch>(&message.message)) {
        inputs_.emplace_back(said(run(*dispatch)));
      } else if (const auto* cancel = std::get_if<CancelBranch>(&message.message)) {
        BranchEnded ended;
        ended.epoch = cancel->epoch;
        ended.token = cancel->token;
        ended.ending = Ending::cancelled;
        inputs_.emplace_back(said(std::move(ended)));
      }
    }
    for (const ClientResponse& response : output.reply) {
      if (response.id.value == requests_) {
        answer_ = response.body;
      }
    }
  }
  BranchEnded run(const Dispatch& dispatch) {
    BranchEnded ended;
    ended.epoch = dispatch.epoch;
    ended.token = dispatch.token;
    ended.latency = tick;
    if (!dispatch.http.empty()) {
      ended.output = "null";
      return ended;
    }
    const auto input = json::parse(dispatch.input);
    FORERUN_ASSERT(input.has_value() && input->object() != nullptr);
    const auto answer =
        outside_.run(*catalog_.task(dispatch.task), *input->object(), dispatch.outside_key);
    if (!answer) {
      ended.ending = Ending::failed;
      ended.cause = answer.error().message;
      return ended;
    }
    ended.output = *answer;
    ended.writes = writes_of(dispatch.task, dispatch.state);
    ended.effects = effects_of(dispatch.task, dispatch.input);
    return ended;
  }

  const Catalog& catalog_;
  Outside outside_;
  CoordinatorMachine machine_;
  Instant now_ = Instant{} + std::chrono::seconds(1);
  std::vector<CoordinatorInput> inputs_;
  std::uint64_t requests_ = 0;
  std::optional<ResponseBody> answer_;
};

tl::unexpected<Error> differs(const RunId& run_id, std::size_t step, const std::string& what) {
  return fail(Errc::verification, "run " + to_string(run_id) + " step " + std::to_string(step) +
                                      " without speculation: " + what);
}

Result<std::uint64_t> run_one(SerialCluster& cluster, const RunId& run_id,
                              const Auditor::Committed& session) {
  OpenSession open;
  open.mode = SpeculationMode::off;
  open.run_id = run_id;
  cluster.ask(std::move(open));
  const auto opened = cluster.answer();
  if (!opened || !std::holds_alternative<SessionOpened>(*opened)) {
    return differs(run_id, 0, "the session does not open");
  }
  std::uint64_t compared = 0;
  for (const Auditor::Committed::Step& step : session.steps) {
    if (step.was_disturbed) {
      break;  // From here on the world and the state may be others.
    }
    ConfirmCalls confirm;
    confirm.run_id = run_id;
    confirm.calls.push_back(*Call::parse(step.call));
    cluster.ask(std::move(confirm));
    const auto body = cluster.answer();
    const auto* answers = body ? std::get_if<StepAnswers>(&*body) : nullptr;
    if (answers == nullptr) {
      return differs(run_id, compared, "no answer");
    }
    if (answers->steps.front().decision_hash != step.decision_hash) {
      return differs(run_id, compared,
                     "its decision is another one, with output " + answers->steps.front().output);
    }
    ++compared;
  }
  cluster.ask(EndSession{run_id});
  return cluster.answer() ? Result<std::uint64_t>(compared)
                          : differs(run_id, compared, "the session does not end");
}

}  // namespace

Result<std::uint64_t> run_serially(const std::map<RunId, Auditor::Committed>& sessions,
                                   const Catalog& catalog, const SigningKey& key) {
  SerialCluster cluster(catalog, key);
  std::uint64_t compared = 0;
  for (const auto& [run_id, session] : sessions) {
    const auto one = run_one(cluster, run_id, session);
    if (!one) {
      return one;
    }
    compared += *one;
  }
  return compared;
}

}  // namespace forerun::simulation
