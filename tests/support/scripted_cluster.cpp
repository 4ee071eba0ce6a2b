#include "tests/support/scripted_cluster.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "speculation/explanation.hpp"

namespace forerun::test {

Call call(const std::string& task, const std::string& input) {
  auto value = json::parse(input);
  REQUIRE(value.has_value());
  return Call::make(task, *value->object());
}

Output output(const std::string& text) {
  auto value = Output::parse(text);
  REQUIRE(value.has_value());
  return *value;
}

Prediction prediction(Call call, double probability) {
  return {std::move(call), probability, {}, 1, {}};
}

Catalog ScriptedCluster::default_catalog() {
  const auto task = [](const std::string& name, Effect effect) {
    Task result;
    result.name = name;
    result.executor = ExecutorKind::native;
    result.function = name;
    result.effect = effect;
    return result;
  };
  Task get = task("get", Effect::read);
  get.reads = std::vector<std::string>{"item/{key}"};
  Task put = task("put", Effect::write);
  put.writes = std::vector<std::string>{"item/{key}"};
  Task put_again = task("put_again", Effect::write);
  put_again.writes = std::vector<std::string>{"item/{key}"};
  put_again.idempotent = true;
  Race ordered;
  ordered.name = "answer";
  ordered.branches = {"fast", "slow"};
  ordered.select = SelectRule::ordered;
  ordered.valid = {{"fast", "/sure", ValidCondition::Test::equals, json::Value(true)}};
  auto catalog = Catalog::make({task("a", Effect::pure), task("b", Effect::pure),
                                task("c", Effect::pure), task("earner", Effect::pure), get, put,
                                put_again, task("fast", Effect::pure), task("slow", Effect::pure)},
                               {ordered}, {});
  REQUIRE(catalog.has_value());
  return std::move(*catalog);
}

CoordinatorSettings ScriptedCluster::settings_of(Catalog catalog) {
  CoordinatorSettings settings;
  settings.version = "test";
  settings.catalog = std::move(catalog);
  // Value, budget and the control share have tests of their own.
  settings.usefulness.control_share = 0;
  settings.admission.policy = AdmissionPolicy::bands;
  settings.admission.waste_ratio_max = 1.0;
  settings.publish_interval = Duration{};  // So has gathering.
  return settings;
}

ScriptedCluster::ScriptedCluster(CoordinatorSettings settings) : settings_(std::move(settings)) {
  auto scripted = std::make_unique<ScriptedPredictor>();
  predictor = scripted.get();
  machine = std::make_unique<CoordinatorMachine>(settings_, key_, std::move(scripted));
  settle(machine->start(now));
  persist();
}

void ScriptedCluster::collect(CoordinatorOutput output) {
  if (output.persist) {
    waiting_.push_back(std::move(*output.persist));
  }
  for (ToNode& message : output.send) {
    if (const auto* dispatch = std::get_if<Dispatch>(&message.message)) {
      dispatches.push_back(*dispatch);
    } else if (const auto* cancel = std::get_if<CancelBranch>(&message.message)) {
      std::erase_if(dispatches,
                    [&](const Dispatch& known) { return known.token == cancel->token; });
      cancelled_.emplace_back(message.connection, cancel->token);
    }
    sent.push_back(std::move(message));
  }
  if (output.publish) {
    published.push_back(std::move(*output.publish));
  }
  for (ClientResponse& response : output.reply) {
    answers.emplace(response.id.value, std::move(response.body));
  }
  races.insert(races.end(), output.races.begin(), output.races.end());
  asked_of_store.insert(asked_of_store.end(), output.serve_session.begin(),
                        output.serve_session.end());
  log.insert(log.end(), output.log.begin(), output.log.end());
}

void ScriptedCluster::input(const CoordinatorInput& input) {
  settle(machine->step(now, input));
}

/// Looks ahead as long as the brain asks for it. Of the past there is nothing to read.
void ScriptedCluster::settle(CoordinatorOutput output) {
  for (;;) {
    const bool looks_ahead = output.look_ahead;
    const std::optional<ReadPast> past = output.read_past;
    collect(std::move(output));
    if (past) {
      output = machine->step(now, PastRead{{}, {}, past->last, past->until});
    } else if (looks_ahead) {
      output = machine->step(now, LookAhead{});
    } else {
      return;
    }
  }
}

void ScriptedCluster::pass(Duration duration) {
  now += duration;
  input(TimePassed{});
}

void ScriptedCluster::persist() {
  while (!waiting_.empty()) {
    const std::vector<CoordinatorBatch> batches = std::move(waiting_);
    waiting_.clear();
    for (const CoordinatorBatch& batch : batches) {
      durable_.insert(durable_.end(), batch.entries.begin(), batch.entries.end());
      for (const SessionRow& row : batch.sessions) {
        rows_[row.run_id] = row;
      }
      texts_.insert(texts_.end(), batch.texts.begin(), batch.texts.end());
      keys_.insert(keys_.end(), batch.keys.begin(), batch.keys.end());
      intents_.insert(intents_.end(), batch.intents.begin(), batch.intents.end());
      for (const MarkRow& mark : batch.marks) {
        marks_[mark.worker] = std::max(marks_[mark.worker], mark.mark);
      }
      for (const OwnerRow& owner : batch.owners) {
        owners_[owner.worker] = owner;
      }
      quarantined_.insert(batch.quarantined.begin(), batch.quarantined.end());
      for (const EffectRow& effect : batch.effects) {
        effects_[effect.id] = effect;
      }
      for (const EffectId& id : batch.effects_ended) {
        effects_.erase(id);
      }
    }
    input(Persisted{batches.back().number});
  }
}

WorkerId ScriptedCluster::worker_of(int node) {
  Uuid uuid;
  uuid.bytes[0] = static_cast<std::uint8_t>(node);
  return {uuid};
}

void ScriptedCluster::join(int node, std::uint32_t slots) {
  const WorkerId worker = worker_of(node);
  const ConnectionId connection{next_connection_++};
  connections_[worker] = connection;
  Join join;
  join.name = "node-" + std::to_string(node);
  join.instance = connection.value;
  join.workers = {{worker, slots, marks_[worker]}};
  const NodeId id{"n" + std::to_string(node)};
  input(NodeSaid{connection, id, join});
  persist();
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (const auto* reserve = std::get_if<ReserveRunIds>(&sent[i].message);
        reserve && sent[i].connection == connection) {
      input(NodeSaid{connection, id, MarkStored{reserve->worker, reserve->mark}});
    }
  }
  persist();
}

void ScriptedCluster::earn() {
  const RunId run = open(SpeculationMode::off);
  confirm(run, {call("earner")});
  const Dispatch dispatch = take_dispatch("earner");
  BranchEnded ended;
  ended.epoch = dispatch.epoch;
  ended.token = dispatch.token;
  ended.output = "null";
  ended.latency = std::chrono::minutes(1);
  input(NodeSaid{connections_.at(dispatch.worker),
                 {"n" + std::to_string(dispatch.worker.uuid.bytes[0])},
                 ended});
  persist();
}

RunId ScriptedCluster::open(SpeculationMode mode) {
  OpenSession body;
  body.mode = mode;
  return open(body);
}

RunId ScriptedCluster::open(const OpenSession& body) {
  const RequestId id{next_request_++};
  input(ClientRequest{id, "default", body});
  persist();
  return std::get<SessionOpened>(*answer(id)).run_id;
}

RequestId ScriptedCluster::confirm(const RunId& run_id, std::vector<Call> calls,
                                   const std::string& key) {
  const RequestId id{next_request_++};
  ConfirmCalls body;
  body.run_id = run_id;
  body.is_list = calls.size() > 1;
  body.calls = std::move(calls);
  body.idempotency_key = key;
  input(ClientRequest{id, "default", body});
  return id;
}

bool ScriptedCluster::has_dispatch(const std::string& task) const {
  return std::any_of(dispatches.begin(), dispatches.end(),
                     [&](const Dispatch& known) { return known.task == task; });
}

bool ScriptedCluster::has_request() const {
  return std::any_of(dispatches.begin(), dispatches.end(),
                     [](const Dispatch& known) { return !known.http.empty(); });
}

Dispatch ScriptedCluster::take_request() {
  const auto at = std::find_if(dispatches.begin(), dispatches.end(),
                               [](const Dispatch& known) { return !known.http.empty(); });
  REQUIRE(at != dispatches.end());
  Dispatch result = *at;
  dispatches.erase(at);
  return result;
}

Dispatch ScriptedCluster::take_dispatch(const std::string& task) {
  const auto at = std::find_if(dispatches.begin(), dispatches.end(),
                               [&](const Dispatch& known) { return known.task == task; });
  INFO("a dispatch of " << task);
  REQUIRE(at != dispatches.end());
  Dispatch result = *at;
  dispatches.erase(at);
  return result;
}

void ScriptedCluster::finish(const Dispatch& dispatch, const std::string& text, Duration latency) {
  BranchEnded ended;
  ended.epoch = dispatch.epoch;
  ended.token = dispatch.token;
  ended.output = text;
  ended.latency = latency;
  now += latency;
  input(NodeSaid{connections_.at(dispatch.worker),
                 {"n" + std::to_string(dispatch.worker.uuid.bytes[0])},
                 ended});
}

void ScriptedCluster::free_slots() {
  for (const auto& [connection, token] : std::exchange(cancelled_, {})) {
    const auto worker = std::find_if(connections_.begin(), connections_.end(),
                                     [&](const auto& known) { return known.second == connection; });
    if (worker == connections_.end()) {
      continue;  // Its node is gone.
    }
    BranchEnded ended;
    ended.epoch = machine->epoch();
    ended.token = token;
    ended.ending = Ending::cancelled;
    ended.freed_after = freed_after;
    input(NodeSaid{connection, {"n" + std::to_string(worker->first.uuid.bytes[0])}, ended});
  }
}

void ScriptedCluster::finish_with(const Dispatch& dispatch, const std::string& text,
                                  const std::string& writes, const std::string& effects) {
  BranchEnded ended;
  ended.epoch = dispatch.epoch;
  ended.token = dispatch.token;
  ended.output = text;
  ended.writes = writes;
  ended.effects = effects;
  ended.latency = std::chrono::milliseconds(10);
  now += ended.latency;
  input(NodeSaid{connections_.at(dispatch.worker),
                 {"n" + std::to_string(dispatch.worker.uuid.bytes[0])},
                 ended});
}

std::string ScriptedCluster::state(const RunId& run_id) {
  const RequestId id{next_request_++};
  input(ClientRequest{id, "default", ShowSession{run_id}});
  const ResponseBody* body = answer(id);
  REQUIRE(body != nullptr);
  return std::get<SessionView>(*body).state;
}

void ScriptedCluster::end(const Dispatch& dispatch, Ending ending, const std::string& cause) {
  BranchEnded ended;
  ended.epoch = dispatch.epoch;
  ended.token = dispatch.token;
  ended.ending = ending;
  ended.cause = cause;
  input(NodeSaid{connections_.at(dispatch.worker),
                 {"n" + std::to_string(dispatch.worker.uuid.bytes[0])},
                 ended});
}

const ResponseBody* ScriptedCluster::answer(RequestId request) const {
  const auto at = answers.find(request.value);
  return at == answers.end() ? nullptr : &at->second;
}

json::Value ScriptedCluster::explanation(const RunId& run_id) const {
  std::vector<StoredEntry> commits;
  std::vector<StoredEntry> discards;
  for (const StoredEntry& entry : durable_) {
    if (entry.run_id == run_id) {
      (entry.step ? commits : discards).push_back(entry);
    }
  }
  return explain(rows_.at(run_id), {commits, discards});
}

const StepAnswer& ScriptedCluster::step(RequestId request) const {
  const ResponseBody* body = answer(request);
  REQUIRE(body != nullptr);
  const auto* steps = std::get_if<StepAnswers>(body);
  if (steps == nullptr) {
    FAIL(std::get<RequestFailed>(*body).message);
  }
  return steps->steps.front();
}

std::size_t ScriptedCluster::cancels() const {
  return static_cast<std::size_t>(std::count_if(
      sent.begin(), sent.end(),
      [](const ToNode& message) { return std::holds_alternative<CancelBranch>(message.message); }));
}

std::vector<json::Value> ScriptedCluster::entries() const {
  std::vector<json::Value> result;
  const auto add = [&result](const StoredEntry& entry) {
    result.push_back(json::parse(entry.leaf).value());
  };
  std::for_each(durable_.begin(), durable_.end(), add);
  for (const CoordinatorBatch& batch : waiting_) {
    std::for_each(batch.entries.begin(), batch.entries.end(), add);
  }
  return result;
}

std::size_t ScriptedCluster::count_entries(const std::string& kind, const std::string& member,
                                           const std::string& value) const {
  std::size_t count = 0;
  for (const json::Value& entry : entries()) {
    const bool is_kind = *entry.find("kind") == json::Value(kind);
    count += is_kind && (member.empty() || *entry.find(member) == json::Value(value)) ? 1 : 0;
  }
  return count;
}

void ScriptedCluster::crash_and_restart(std::optional<Catalog> catalog) {
  if (catalog) {
    settings_.catalog = std::move(*catalog);
  }
  waiting_.clear();
  sent.clear();
  dispatches.clear();
  connections_.clear();
  cancelled_.clear();
  CoordinatorRecovery recovery;
  for (const auto& [run_id, row] : rows_) {
    if (!row.ended) {
      recovery.sessions.push_back(row);
    }
  }
  recovery.texts = texts_;
  std::stable_sort(recovery.texts.begin(), recovery.texts.end(),
                   [](const TextRow& a, const TextRow& b) { return a.run_id < b.run_id; });
  recovery.keys = keys_;
  for (const IntentRow& intent : intents_) {
    if (intent.step.value >= rows_.at(intent.run_id).next_step) {
      std::erase_if(recovery.intents, [&](const IntentRow& known) {
        return known.run_id == intent.run_id && known.step == intent.step;
      });
      recovery.intents.push_back(intent);
    }
  }
  std::sort(recovery.intents.begin(), recovery.intents.end(),
            [](const IntentRow& a, const IntentRow& b) {
              return std::pair(a.run_id, a.step) < std::pair(b.run_id, b.step);
            });
  for (const auto& [worker, mark] : marks_) {
    recovery.marks.push_back({worker, mark});
  }
  for (const auto& [worker, owner] : owners_) {
    recovery.owners.push_back(owner);
  }
  recovery.quarantined.assign(quarantined_.begin(), quarantined_.end());
  for (const auto& [id, effect] : effects_) {
    recovery.effects.push_back(effect);
  }
  auto scripted = std::make_unique<ScriptedPredictor>();
  predictor = scripted.get();
  machine = std::make_unique<CoordinatorMachine>(settings_, key_, std::move(scripted));
  for (const StoredEntry& entry : durable_) {
    machine->restore(entry);
  }
  machine->restore(recovery);
  settle(machine->start(now));
  persist();
}

}  // namespace forerun::test
