// What a coordinator knows of the past: taught sessions, and what it learns again after a restart.
#include <catch2/catch.hpp>

#include "coordinator/machine.hpp"
#include "coordinator/prediction_graph.hpp"
#include "storage/checked_recovery.hpp"
#include "storage/memory_store.hpp"
#include "storage/past_page.hpp"
#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

namespace {

/// A brain with a store that survives it, and one node that answers at once with the call's own
/// input.
class Coordinator {
public:
  explicit Coordinator(CoordinatorSettings settings = default_settings(), bool is_scripted = false)
      : settings_(std::move(settings)), is_scripted_(is_scripted) {
    start();
  }

  static CoordinatorSettings default_settings() {
    return ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  }

  /// As after kill -9.
  void restart() {
    store_.crash();
    waiting_.clear();
    start();
  }

  /// Does all that the brain asks for, until it asks for nothing.
  void run() {
    while (turn()) {
    }
  }

  /// One thing that the brain asked for. False when there is none.
  bool turn() {
    if (!waiting_.empty()) {
      const std::vector<CoordinatorBatch> batches = std::exchange(waiting_, {});
      REQUIRE(store_.persist(batches));
      perform(machine->step(now_, Persisted{batches.back().number}));
    } else if (!dispatches_.empty() && answers_calls) {
      const Dispatch dispatch = dispatches_.front();
      dispatches_.erase(dispatches_.begin());
      BranchEnded ended;
      ended.epoch = dispatch.epoch;
      ended.token = dispatch.token;
      ended.output = "{\"ok\":true}";
      ended.latency = std::chrono::milliseconds(10);
      perform(machine->step(now_, NodeSaid{connection_, node_, ended}));
    } else if (past_) {
      auto page = read_past(store_, *std::exchange(past_, std::nullopt));
      REQUIRE(page);
      ++pages;
      perform(machine->step(now_, *page));
    } else if (looks_ahead_) {
      looks_ahead_ = false;
      ++turns;
      perform(machine->step(now_, LookAhead{}));
    } else {
      return false;
    }
    return true;
  }

  void join() {
    Join join;
    join.name = "node";
    join.instance = ++instances_;
    join.workers = {{worker_, 4, mark_}};
    connection_ = ConnectionId{instances_};
    perform(machine->step(now_, NodeSaid{connection_, node_, join}));
    while (!waiting_.empty()) {
      turn();
    }
    perform(machine->step(now_, NodeSaid{connection_, node_, MarkStored{worker_, mark_}}));
    run();
  }

  template <class Body>
  ResponseBody ask(Body body, const std::string& tenant = "default") {
    put(std::move(body), tenant);
    run();
    return answer();
  }
  /// Sends a request and does nothing else.
  template <class Body>
  void put(Body body, const std::string& tenant = "default") {
    request_ = RequestId{++requests_};
    perform(machine->step(now_, ClientRequest{request_, tenant, std::move(body)}));
  }
  /// Two requests that reach the brain together; their answers.
  std::pair<ResponseBody, ResponseBody> ask_at_once(decltype(ClientRequest::body) first,
                                                    decltype(ClientRequest::body) second) {
    const std::vector<CoordinatorInput> both = {
        ClientRequest{RequestId{++requests_}, "default", std::move(first)},
        ClientRequest{RequestId{++requests_}, "default", std::move(second)}};
    perform(machine->step(now_, both));
    run();
    return {answers_.at(requests_ - 1), answers_.at(requests_)};
  }
  const ResponseBody& answer() const { return answers_.at(request_.value); }
  bool is_answered() const { return answers_.contains(request_.value); }

  RunId open(const std::string& context = "") {
    OpenSession body;
    body.context = context;
    return std::get<SessionOpened>(ask(body)).run_id;
  }
  void confirm(const RunId& run_id, const Call& call) {
    ConfirmCalls body;
    body.run_id = run_id;
    body.calls = {call};
    REQUIRE(std::holds_alternative<StepAnswers>(ask(body)));
  }
  void walk(std::initializer_list<const char*> tasks) {
    const RunId run_id = open();
    for (const char* task : tasks) {
      confirm(run_id, call(task, R"({"x":1})"));
    }
    ask(EndSession{run_id});
  }
  json::Value report(ResponseBody body) { return std::get<JsonReport>(std::move(body)).body; }
  json::Value learning(const std::string& tenant = "default") {
    return *machine->status(tenant).find("learning");
  }
  double left() { return *learning().find("left")->number(); }
  /// The task that is most probable at the start of a session.
  std::string first_expected() {
    const RunId run_id = open();
    const json::Value told = report(ask(ShowPredictions{run_id}));
    const json::Array& list = *told.find("predictions")->array();
    if (scripted == nullptr && !list.empty()) {
      const json::Array& tasks = *told.find("tasks")->array();
      REQUIRE_FALSE(tasks.empty());
      CHECK(*tasks.front().find("task") == *list.front().find("task"));
    }
    return list.empty() ? "" : *list.front().find("task")->string();
  }

  std::unique_ptr<CoordinatorMachine> machine;
  ScriptedPredictor* scripted = nullptr;
  std::size_t in_store() { return store_.history(0, UINT64_MAX, 10'000)->size(); }
  /// Looks ahead once, if the brain asks for it.
  void look_ahead() {
    if (std::exchange(looks_ahead_, false)) {
      perform(machine->step(now_, LookAhead{}));
    }
  }
  bool looks_ahead() const { return looks_ahead_; }
  std::optional<Instant> wake_at() const { return wake_at_; }
  Instant now() const { return now_; }
  void pass(Duration duration) { now_ += duration; }
  void wake() { perform(machine->step(now_, TimePassed{})); }

  bool answers_calls = true;  ///< False: the node takes its time.
  std::size_t turns = 0;
  std::size_t pages = 0;

private:
  void start() {
    std::unique_ptr<Predictor> predictor;
    if (is_scripted_) {
      auto made = std::make_unique<ScriptedPredictor>();
      scripted = made.get();
      predictor = std::move(made);
    } else {
      predictor = std::make_unique<PredictionGraph>();
    }
    machine = std::make_unique<CoordinatorMachine>(settings_, key_, std::move(predictor));
    past_.reset();
    looks_ahead_ = false;
    dispatches_.clear();
    const auto recovered =
        recover_checked(store_, "memory", key_.public_key(),
                        [this](const StoredEntry& entry) { machine->restore(entry); });
    REQUIRE(recovered);
    machine->restore(recovered->recovery);
    perform(machine->start(now_));
    REQUIRE(turn());  // The term is durable.
  }

  void perform(CoordinatorOutput output) {
    if (output.persist) {
      waiting_.push_back(std::move(*output.persist));
    }
    for (ToNode& message : output.send) {
      if (const auto* dispatch = std::get_if<Dispatch>(&message.message)) {
        dispatches_.push_back(*dispatch);
      } else if (const auto* reserve = std::get_if<ReserveRunIds>(&message.message)) {
        mark_ = reserve->mark;
      }
    }
    for (ClientResponse& response : output.reply) {
      answers_.insert_or_assign(response.id.value, std::move(response.body));
    }
    if (output.read_past) {
      REQUIRE_FALSE(past_);
      past_ = output.read_past;
    }
    looks_ahead_ = looks_ahead_ || output.look_ahead;
    wake_at_ = output.wake_at;
  }

  CoordinatorSettings settings_;
  bool is_scripted_;
  SigningKey key_ = SigningKey::from_seed({1});
  MemoryCoordinatorStore store_;
  std::vector<CoordinatorBatch> waiting_;
  std::vector<Dispatch> dispatches_;
  std::optional<ReadPast> past_;
  bool looks_ahead_ = false;
  std::optional<Instant> wake_at_;
  Instant now_{std::chrono::seconds(1000)};
  NodeId node_{"n"};
  WorkerId worker_{Uuid{{1}}};
  std::uint64_t mark_ = 0;
  std::uint64_t instances_ = 0;
  std::uint64_t requests_ = 0;
  RequestId request_{};
  ConnectionId connection_{};
  std::map<std::uint64_t, ResponseBody> answers_;
};

LearnHistory::Item item(const std::string& name, const std::vector<std::string>& tasks) {
  HistorySession session{name, "", {}};
  for (const std::string& task : tasks) {
    session.steps.push_back({{}, call(task, R"({"x":1})"), output("{\"ok\":true}")});
  }
  return {name, static_cast<std::uint32_t>(tasks.size()), history_text(session)};
}

LearnHistory lesson(std::size_t sessions, const std::vector<std::string>& tasks,
                    const std::string& prefix = "s") {
  LearnHistory history;
  for (std::size_t i = 0; i < sessions; ++i) {
    history.sessions.push_back(item(prefix + std::to_string(i), tasks));
  }
  return history;
}

}  // namespace

TEST_CASE("what was taught is predicted, also after a restart", "[coordinator_learning]") {
  Coordinator cluster;
  cluster.join();
  CHECK(cluster.first_expected().empty());
  const json::Value taught = cluster.report(cluster.ask(lesson(20, {"a", "b"})));
  CHECK(*taught.find("learned") == json::Value(20));
  CHECK(*taught.find("steps") == json::Value(40));
  CHECK(cluster.left() == 0);
  CHECK(cluster.first_expected() == "a");
  cluster.restart();
  cluster.join();
  CHECK(cluster.left() == 0);
  CHECK(cluster.first_expected() == "a");
  CHECK(*cluster.learning().find("taught")->find("sessions") == json::Value(20));
}

TEST_CASE("how long tasks take is known again after a restart", "[coordinator_learning]") {
  Coordinator cluster;
  cluster.join();
  const auto known = [&] {
    json::Value times = *cluster.machine->status("default").find("run_times");
    return times.array()->empty() ? json::Value() : times.array()->front();
  };
  for (int i = 0; i < 120; ++i) {
    cluster.walk({"a"});
  }
  const json::Value before = known();
  REQUIRE(*before.find("samples") == json::Value(120));
  cluster.restart();
  CHECK(known().is_null());
  cluster.join();
  CHECK(cluster.left() == 0);
  const json::Value after = known();
  REQUIRE_FALSE(after.is_null());
  CHECK(*after.find("samples") == json::Value(120));
  CHECK(*after.find("timeout_is_learned") == json::Value(true));
  CHECK(*after.find("p95_ms") == json::Value(10));  // As its node measured it.
}

TEST_CASE("what was confirmed is predicted again after a restart", "[coordinator_learning]") {
  Coordinator cluster;
  cluster.join();
  for (int i = 0; i < 10; ++i) {
    cluster.walk({"a", "b"});
  }
  REQUIRE(cluster.first_expected() == "a");
  cluster.restart();
  cluster.join();
  CHECK(cluster.left() == 0);
  CHECK(cluster.first_expected() == "a");
  CHECK(*cluster.learning().find("past_steps") == json::Value(20));
}

TEST_CASE("the same session teaches once, and another one of its name is refused",
          "[coordinator_learning]") {
  Coordinator cluster(Coordinator::default_settings(), true);
  cluster.ask(lesson(3, {"a", "b"}));
  CHECK(cluster.scripted->observed.size() == 6);
  const json::Value again = cluster.report(cluster.ask(lesson(4, {"a", "b"})));
  CHECK(*again.find("learned") == json::Value(1));
  CHECK(*again.find("known") == json::Value(3));
  CHECK(cluster.scripted->observed.size() == 8);
  const json::Value other = cluster.report(cluster.ask(lesson(1, {"c"})));
  CHECK(*other.find("learned") == json::Value(0));
  REQUIRE(other.find("refused")->array()->size() == 1);
  CHECK(*other.find("refused")->array()->front().find("session") == json::Value("s0"));
  CHECK(cluster.scripted->observed.size() == 8);
  cluster.restart();
  cluster.run();
  CHECK(cluster.scripted->observed.size() == 8);
  CHECK(cluster.scripted->ended == 4);
  CHECK(*cluster.report(cluster.ask(lesson(4, {"a", "b"}))).find("known") == json::Value(4));
}

TEST_CASE("an answer about what was taught comes when it is durable", "[coordinator_learning]") {
  Coordinator cluster;
  cluster.run();
  cluster.put(lesson(1, {"a"}));
  CHECK_FALSE(cluster.is_answered());
  cluster.restart();  // Nothing of it was kept.
  cluster.run();
  CHECK(*cluster.report(cluster.ask(lesson(1, {"a"}))).find("learned") == json::Value(1));
}

TEST_CASE("what was taught is learned a little at a time", "[coordinator_learning]") {
  CoordinatorSettings settings = Coordinator::default_settings();
  settings.history.lessons_per_turn = 4;
  settings.history.read_steps = 10;
  Coordinator cluster(std::move(settings), true);
  cluster.join();
  cluster.put(lesson(10, {"a", "b"}));  // Of each a text, two steps and an end: 40 lessons.
  while (cluster.scripted->observed.empty()) {
    REQUIRE(cluster.turn());
  }
  CHECK(cluster.scripted->observed.size() <= 4);
  // A session opens and is answered while most of it is still to be learned.
  cluster.put(OpenSession{});
  while (!cluster.is_answered()) {
    REQUIRE(cluster.turn());
  }
  CHECK(cluster.left() > 10);
  const std::size_t turns = cluster.turns;
  cluster.run();
  CHECK(cluster.left() == 0);
  CHECK(cluster.scripted->observed.size() == 20);
  CHECK(cluster.turns >= turns + 7);
  CHECK(cluster.pages >= 2);
}

TEST_CASE("while a client waits, learning takes half of the time", "[coordinator_learning]") {
  Coordinator cluster(Coordinator::default_settings(), true);
  cluster.join();
  const RunId run_id = cluster.open();
  cluster.answers_calls = false;
  ConfirmCalls body;
  body.run_id = run_id;
  body.calls = {call("a")};
  cluster.put(body);
  cluster.put(lesson(50, {"b", "c"}));
  const ScriptedPredictor& predictor = *cluster.scripted;
  const auto lessons = [&predictor] {
    return predictor.texts.size() + predictor.observed.size() +
           static_cast<std::size_t>(predictor.ended);
  };
  while (predictor.observed.empty()) {
    REQUIRE(cluster.turn());
  }
  const std::size_t before = lessons();
  cluster.look_ahead();
  CHECK(lessons() == before + 1);
  // The next look comes after 3 ms: so long a lesson takes, and so long it rests.
  cluster.pass(3ms);
  cluster.look_ahead();
  CHECK(lessons() == before + 1);
  CHECK_FALSE(cluster.looks_ahead());
  CHECK(cluster.wake_at() == cluster.now() + 3ms);
  cluster.pass(3ms);
  cluster.wake();
  REQUIRE(cluster.looks_ahead());
  cluster.look_ahead();
  CHECK(lessons() == before + 2);
  // However long the loop was busy with other things, learning comes to its turn.
  cluster.pass(100ms);
  cluster.look_ahead();
  CHECK(cluster.wake_at() == cluster.now() + HistoryLimits{}.rest_max);
  // Nobody waits any more.
  cluster.answers_calls = true;
  cluster.run();
  CHECK(cluster.left() == 0);
}

TEST_CASE("a restart answers before it has learned again", "[coordinator_learning]") {
  Coordinator cluster(Coordinator::default_settings(), true);
  cluster.join();
  for (int i = 0; i < 20; ++i) {
    cluster.walk({"a", "b"});
  }
  cluster.restart();
  CHECK(cluster.scripted->observed.empty());
  CHECK(cluster.left() == 40);
  cluster.put(ShowStatus{});
  CHECK(cluster.is_answered());
  cluster.run();
  CHECK(cluster.scripted->observed.size() == 40);
}

TEST_CASE("an open session is followed on after a restart, once", "[coordinator_learning]") {
  Coordinator cluster(Coordinator::default_settings(), true);
  cluster.join();
  cluster.walk({"c"});
  const RunId run_id = cluster.open("context");
  cluster.confirm(run_id, call("a"));
  cluster.restart();
  // It is asked about before its turn has come.
  cluster.put(ShowPredictions{run_id});
  CHECK(cluster.scripted->observed == std::vector<std::string>{"a"});
  CHECK(cluster.scripted->texts == std::vector<std::string>{"context"});
  cluster.run();
  CHECK(cluster.scripted->observed == std::vector<std::string>{"a", "c"});
  cluster.join();
  cluster.confirm(run_id, call("b"));
  CHECK(cluster.scripted->observed == std::vector<std::string>{"a", "c", "b"});
}

TEST_CASE("open sessions are learned again after what is past", "[coordinator_learning]") {
  Coordinator cluster(Coordinator::default_settings(), true);
  cluster.join();
  const RunId run_id = cluster.open();
  cluster.confirm(run_id, call("a"));
  cluster.walk({"b", "c"});
  cluster.ask(lesson(1, {"d"}));
  cluster.walk({"fast"});
  cluster.restart();
  cluster.run();
  CHECK(cluster.scripted->observed == std::vector<std::string>{"b", "c", "d", "fast", "a"});
}

TEST_CASE("a session whose start is too old to be learned again is left out",
          "[coordinator_learning]") {
  CoordinatorSettings settings = Coordinator::default_settings();
  settings.history.learn_again_steps_max = 3;
  Coordinator cluster(std::move(settings), true);
  cluster.join();
  cluster.walk({"a", "b"});
  cluster.walk({"c", "fast"});
  cluster.restart();
  cluster.run();
  CHECK(cluster.scripted->observed == std::vector<std::string>{"c", "fast"});
  CHECK(cluster.left() == 0);
}

TEST_CASE("what is taught and forgotten in one turn is answered both times",
          "[coordinator_learning]") {
  Coordinator cluster;
  const bool has_taught = GENERATE(false, true);
  if (has_taught) {
    cluster.ask(lesson(1, {"b"}, "other "));
  }
  const auto [taught, forgotten] = cluster.ask_at_once(lesson(1, {"a"}), ForgetHistory{});
  CHECK(*cluster.report(taught).find("learned") == json::Value(1));
  CHECK(*cluster.report(forgotten).find("forgotten") == json::Value(has_taught ? 2 : 1));
  CHECK(*cluster.learning().find("taught")->find("sessions") == json::Value(0));
  cluster.restart();
  CHECK(*cluster.learning().find("taught")->find("sessions") == json::Value(0));
}

TEST_CASE("tenants neither see nor forget each other's history", "[coordinator_learning]") {
  Coordinator cluster;
  cluster.ask(lesson(2, {"a"}), "one");
  cluster.ask(lesson(3, {"a"}), "two");
  CHECK(*cluster.learning("one").find("taught")->find("sessions") == json::Value(2));
  CHECK(*cluster.report(cluster.ask(ForgetHistory{}, "one")).find("forgotten") == json::Value(2));
  CHECK(*cluster.learning("one").find("taught")->find("sessions") == json::Value(0));
  cluster.restart();
  cluster.run();
  CHECK(*cluster.learning("one").find("taught")->find("sessions") == json::Value(0));
  CHECK(*cluster.learning("two").find("taught")->find("sessions") == json::Value(3));
}

TEST_CASE("what a tenant forgets is predicted no more, and others' predictions stay",
          "[coordinator_learning]") {
  Coordinator cluster;
  cluster.join();
  cluster.ask(lesson(20, {"a", "b"}), "one");
  cluster.ask(lesson(20, {"a", "b"}), "two");
  const auto open_one = [&](const std::string& tenant) {
    return std::get<SessionOpened>(cluster.ask(OpenSession{}, tenant)).run_id;
  };
  const auto told = [&](const RunId& run_id, const std::string& tenant) {
    return json::canonical(
        *cluster.report(cluster.ask(ShowPredictions{run_id}, tenant)).find("predictions"));
  };
  const RunId of_one = open_one("one");
  const RunId of_two = open_one("two");
  const std::string before = told(of_two, "two");
  CHECK(before.find("\"task\":\"a\"") != std::string::npos);
  REQUIRE(told(of_one, "one") != "[]");
  CHECK(*cluster.report(cluster.ask(ForgetHistory{}, "one")).find("forgotten") == json::Value(20));
  // In the running term: in the session that is open, in others, and after the next start.
  CHECK(told(of_one, "one") == "[]");
  CHECK(told(open_one("one"), "one") == "[]");
  CHECK(told(of_two, "two") == before);
  CHECK(told(open_one("two"), "two") != "[]");
  cluster.restart();
  cluster.join();
  CHECK(told(open_one("one"), "one") == "[]");
  CHECK(told(open_one("two"), "two") != "[]");
}

TEST_CASE("what waits to be learned is forgotten with the rest", "[coordinator_learning]") {
  CoordinatorSettings settings = Coordinator::default_settings();
  settings.history.lessons_per_turn = 1;
  Coordinator cluster(std::move(settings));
  cluster.join();
  cluster.put(lesson(20, {"a", "b"}), "one");
  for (int i = 0; i < 6; ++i) {
    REQUIRE(cluster.turn());
  }
  REQUIRE(cluster.left() > 10);
  cluster.ask(ForgetHistory{}, "one");
  CHECK(cluster.left() == 0);
  const RunId run_id = std::get<SessionOpened>(cluster.ask(OpenSession{}, "one")).run_id;
  const json::Value told = cluster.report(cluster.ask(ShowPredictions{run_id}, "one"));
  CHECK(told.find("predictions")->array()->empty());
  CHECK(told.find("tasks")->array()->empty());
}

TEST_CASE("texts of a session teach again after a restart, where they came",
          "[coordinator_learning]") {
  Coordinator cluster(Coordinator::default_settings(), true);
  cluster.join();
  const auto say = [&](const RunId& run_id, const std::string& text) {
    REQUIRE(std::holds_alternative<TextAdded>(cluster.ask(AddText{run_id, text})));
  };
  const RunId past = cluster.open("past");
  say(past, "p1");
  cluster.confirm(past, call("a"));
  say(past, "p2");
  say(past, "p3");
  cluster.confirm(past, call("b"));
  cluster.ask(EndSession{past});
  const RunId open = cluster.open("open");
  say(open, "o1");
  cluster.confirm(open, call("c"));
  say(open, "o2");
  const std::vector<std::string> all = {"past", "p1", "p2", "p3", "open", "o1", "o2"};
  REQUIRE(cluster.scripted->texts == all);
  REQUIRE(cluster.scripted->heard == "past|p1|<a>p2|p3|<b>open|o1|<c>o2|");

  cluster.restart();
  cluster.run();
  CHECK(cluster.scripted->heard == "past|p1|<a>p2|p3|<b>open|o1|<c>o2|");
  // They go on being counted where they left off.
  cluster.join();
  say(open, "o3");
  cluster.restart();
  cluster.run();
  CHECK(cluster.scripted->heard == "past|p1|<a>p2|p3|<b>open|o1|<c>o2|o3|");
}

TEST_CASE("a long session of before a restart is learned again a little at a time",
          "[coordinator_learning]") {
  constexpr std::size_t steps = 200;
  constexpr std::size_t at_once = 20;
  Coordinator cluster(Coordinator::default_settings(), true);
  cluster.join();
  const RunId run_id = cluster.open();
  for (std::size_t i = 0; i < steps; ++i) {
    cluster.confirm(run_id, call(i % 2 == 0 ? "a" : "b"));
  }
  cluster.restart();
  CHECK(cluster.left() == steps);
  const auto not_learned = [&cluster, &run_id] {
    cluster.put(ShowPredictions{run_id});
    return *cluster.report(cluster.answer()).find("not_learned_yet")->number();
  };
  // Whoever asks for it does not wait for all of it.
  const double left = not_learned();
  CHECK(left < steps);
  CHECK(left >= steps - at_once);
  CHECK(cluster.scripted->observed.size() == steps - static_cast<std::size_t>(left));
  // Nor does anyone wait while it goes on, and what it does now comes behind.
  cluster.put(AddText{run_id, "new"});
  cluster.look_ahead();
  CHECK(cluster.scripted->observed.size() <= 3 * at_once);
  CHECK(cluster.scripted->texts == std::vector<std::string>{""});
  cluster.run();
  CHECK(not_learned() == 0);
  CHECK(cluster.left() == 0);
  std::string all = "|";
  for (std::size_t i = 0; i < steps; ++i) {
    all += i % 2 == 0 ? "<a>" : "<b>";
  }
  CHECK(cluster.scripted->heard == all + "new|");
}

TEST_CASE("another tenant's texts are refused, and kept nowhere", "[coordinator_learning]") {
  Coordinator cluster(Coordinator::default_settings(), true);
  cluster.join();
  const RunId run_id = cluster.open("mine");
  CHECK(std::holds_alternative<RequestFailed>(cluster.ask(AddText{run_id, "theirs"}, "other")));
  cluster.confirm(run_id, call("a"));
  cluster.restart();
  cluster.run();
  CHECK(cluster.scripted->heard == "mine|<a>");
}

TEST_CASE("beyond its limit a session's texts are heard, but not kept", "[coordinator_learning]") {
  CoordinatorSettings settings = Coordinator::default_settings();
  settings.history.session_text_bytes_max = 10;
  Coordinator cluster(std::move(settings), true);
  cluster.join();
  const RunId run_id = cluster.open();
  for (const char* text : {"eight by", "too much", "ok"}) {
    cluster.ask(AddText{run_id, text});
  }
  CHECK(cluster.scripted->heard == "|eight by|too much|ok|");
  cluster.restart();
  cluster.run();
  CHECK(cluster.scripted->heard == "|eight by|ok|");
}

TEST_CASE("a limit on taught sessions drops the oldest, also within one request",
          "[coordinator_learning]") {
  CoordinatorSettings settings = Coordinator::default_settings();
  settings.history.sessions_max = 3;
  Coordinator cluster(std::move(settings), true);
  CHECK(*cluster.report(cluster.ask(lesson(5, {"a"}))).find("learned") == json::Value(5));
  CHECK(*cluster.learning().find("taught")->find("sessions") == json::Value(3));
  CHECK(cluster.in_store() == 3);
  cluster.restart();
  cluster.run();
  CHECK(*cluster.learning().find("taught")->find("sessions") == json::Value(3));
  CHECK(cluster.scripted->observed.size() == 3);
  cluster.ask(lesson(2, {"a"}, "t"));
  CHECK(*cluster.report(cluster.ask(lesson(5, {"a"}))).find("known") == json::Value(0));
}

TEST_CASE("a prediction says why it is not started", "[coordinator_learning]") {
  Coordinator cluster(Coordinator::default_settings(), true);
  cluster.join();
  cluster.scripted->next[""] = {prediction(call("a"), 0.95), prediction(call("b"), 0.5),
                                prediction(call("put"), 0.97), prediction(call("nowhere"), 0.9)};
  const auto told = [&cluster](const RunId& run_id) {
    std::map<std::string, std::pair<std::string, std::string>> verdicts;
    const json::Value report = cluster.report(cluster.ask(ShowPredictions{run_id}));
    for (const json::Value& each : *report.find("predictions")->array()) {
      const json::Value& admission = *each.find("admission");
      const json::Value& because = *admission.find("because");
      verdicts[*each.find("task")->string()] = {*admission.find("decision")->string(),
                                                because.is_null() ? "" : *because.string()};
    }
    return verdicts;
  };
  const RunId run_id = cluster.open();
  auto verdicts = told(run_id);
  CHECK(verdicts["a"] == std::pair<std::string, std::string>{"waits", "budget empty"});
  CHECK(verdicts["nowhere"] == std::pair<std::string, std::string>{"waits", "no such task"});
  CHECK(verdicts["put"] == std::pair<std::string, std::string>{"waits", "writes"});

  OpenSession off;
  off.mode = SpeculationMode::off;
  const RunId quiet = std::get<SessionOpened>(cluster.ask(off)).run_id;
  CHECK(told(quiet)["a"].second == "speculation is off in this session");

  cluster.scripted->next[""].clear();
  cluster.confirm(quiet, call("a"));
  cluster.walk({"a", "a", "a", "a", "a"});
  cluster.scripted->next[""] = {prediction(call("a"), 0.95), prediction(call("b"), 0.5)};
  const RunId third = cluster.open();
  verdicts = told(third);
  CHECK(verdicts["a"].first == "finished");
  CHECK(verdicts["b"] == std::pair<std::string, std::string>{"waits", "too unlikely"});
}
