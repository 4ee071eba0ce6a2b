#include "coordinator/prediction_graph.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/prng.hpp"
#include "coordinator/conversation.hpp"
#include "coordinator/session_memory.hpp"
#include "tests/support/run_of.hpp"

using namespace forerun;

namespace {

using test::run;

Call call(const std::string& task, const std::string& input = "{}") {
  return Call::make(task, *json::parse(input)->object());
}

std::optional<Output> output(const std::string& text) {
  return *Output::parse(text);
}

/// A session as it is written down: calls with their outputs.
struct Taken {
  Call call;
  std::optional<Output> output;
};

struct History {
  PredictionGraph graph;
  std::uint64_t sessions = 0;

  explicit History(const PredictionSettings& settings = {}) : graph(settings) {}

  /// A whole session, with its end.
  void teach(const std::vector<Taken>& steps, const std::string& tenant = "t",
             const std::string& text = "") {
    const RunId id = open(steps, tenant, text);
    graph.end(id);
  }
  RunId open(const std::vector<Taken>& steps, const std::string& tenant = "t",
             const std::string& text = "") {
    const RunId id = run(++sessions);
    graph.text(id, tenant, text);
    for (const Taken& step : steps) {
      graph.observe(id, tenant, step.call, step.output);
    }
    return id;
  }
};

double probability_of(const std::vector<Prediction>& predictions, const Call& wanted) {
  for (const Prediction& each : predictions) {
    if (each.call == wanted && !each.premise) {
      return each.probability;
    }
  }
  return 0;
}

Taken taken(const std::string& task, const std::string& input = "{}",
            const std::string& out = "null") {
  return {call(task, input), output(out)};
}

/// Everything that a prediction says, for comparing.
std::string written(const std::vector<Prediction>& predictions) {
  std::string text;
  for (const Prediction& each : predictions) {
    text += each.call.canonical() + ' ';
    json::append_number(text, each.probability);
    text += ' ';
    json::append_number(text, each.premise_probability);
    text += each.premise ? each.premise->canonical() : "-";
    for (const std::string& reason : each.reasons) {
      text += '|' + reason;
    }
    text += '\n';
  }
  return text;
}

/// A random session of a small world, the same for the same generator.
std::vector<Taken> random_session(Prng& prng) {
  std::vector<Taken> steps;
  const std::uint64_t length = 1 + prng.below(6);
  std::string id = "\"D-" + std::to_string(prng.below(1000)) + "\"";
  for (std::uint64_t i = 0; i < length; ++i) {
    const std::string task = "task" + std::to_string(prng.below(5));
    const std::string label(1, static_cast<char>('a' + prng.below(3)));
    steps.push_back(taken(task, R"({"document":)" + id + "}",
                          R"({"label":")" + label + R"(","id":)" + id + "}"));
  }
  return steps;
}

}  // namespace

TEST_CASE("an unknown session, and one that nothing was learned for, have no predictions",
          "[prediction_graph]") {
  History history;
  REQUIRE(history.graph.predict(run(77), {.limit = 5}).empty());
  const RunId id = history.open({});
  REQUIRE(history.graph.predict(id, {.limit = 5}).empty());
}

TEST_CASE("what always follows is predicted exactly, surer the more often it was seen",
          "[prediction_graph]") {
  History history;
  double before = 0;
  for (const int more : {2, 6, 80}) {
    for (int i = 0; i < more; ++i) {
      history.teach({taken("a"), taken("b", R"({"mode":"fast"})")});
    }
    const auto predictions = history.graph.predict(history.open({taken("a")}), {.limit = 3});
    REQUIRE(predictions.front().call == call("b", R"({"mode":"fast"})"));
    REQUIRE(predictions.front().probability > before);
    REQUIRE(predictions.front().probability < 1);
    before = predictions.front().probability;
  }
  REQUIRE(before > 0.9);
}

TEST_CASE("two steps back decide where one step back cannot", "[prediction_graph]") {
  History history;
  for (int i = 0; i < 20; ++i) {
    history.teach({taken("x"), taken("m"), taken("after_x")});
    history.teach({taken("y"), taken("m"), taken("after_y")});
  }
  const auto after_x = history.graph.predict(history.open({taken("x"), taken("m")}), {.limit = 3});
  REQUIRE(after_x.front().call.task() == "after_x");
  REQUIRE(after_x.front().probability > 0.85);
  const auto after_y = history.graph.predict(history.open({taken("y"), taken("m")}), {.limit = 3});
  REQUIRE(after_y.front().call.task() == "after_y");
  // Never seen before m: nothing but order 1 is left.
  const auto after_z = history.graph.predict(history.open({taken("z"), taken("m")}), {.limit = 3});
  REQUIRE(after_z.front().probability < 0.65);
}

TEST_CASE("a label in the output decides what follows", "[prediction_graph]") {
  History history;
  const auto classified = [](int id, const std::string& label) {
    return taken("classify", "{}",
                 R"({"id":)" + std::to_string(id) + R"(,"label":")" + label + "\"}");
  };
  for (int i = 0; i < 30; ++i) {
    history.teach({classified(i, "invoice"), taken("pay")});
    history.teach({classified(1000 + i, "letter"), taken("file")});
  }
  const auto predictions =
      history.graph.predict(history.open({classified(77, "letter")}), {.limit = 3});
  REQUIRE(predictions.front().call.task() == "file");
  REQUIRE(predictions.front().probability > 0.85);
}

TEST_CASE("a label deep in the output decides what follows, also of an imagined output",
          "[prediction_graph]") {
  History history;
  const auto classified = [](int id, const std::string& label) {
    return taken("classify", "{}",
                 R"({"items":[{"id":)" + std::to_string(id) + R"(,"kind":{"label":")" + label +
                     R"("},"shard":)" + std::to_string(id % 5) + "}]}");
  };
  for (int i = 0; i < 40; ++i) {
    history.teach({classified(i, "invoice"), taken("pay")});
    history.teach({classified(1000 + i, "letter"), taken("file")});
  }
  for (const auto& [label, follows] : {std::pair{"letter", "file"}, std::pair{"invoice", "pay"}}) {
    const Taken step = classified(77, label);
    const auto after = history.graph.predict(history.open({step}), {.limit = 3});
    REQUIRE(after.front().call.task() == follows);
    CHECK(after.front().probability > 0.85);
    const ImaginedStep imagined{step.call, step.output};
    const auto beyond =
        history.graph.predict(history.open({}), {.beyond = std::span(&imagined, 1), .limit = 3});
    REQUIRE(beyond.front().call.task() == follows);
    CHECK(beyond.front().probability == after.front().probability);
  }
}

TEST_CASE("what is stated at nine in ten and more comes nineteen times in twenty, or is not stated",
          "[prediction_graph]") {
  const std::uint64_t strays_in_hundred = GENERATE(10, 7, 1);
  CAPTURE(strays_in_hundred);
  History history;
  Prng prng(11);
  std::size_t sure = 0, sure_came = 0;
  for (int session = 0; session < 500; ++session) {
    const RunId id = history.open({});
    std::uint64_t task = 0;
    for (int i = 0; i < 8; ++i) {
      task = prng.below(100) < strays_in_hundred ? prng.below(10) : (task + 1) % 10;
      const Call came = call("t" + std::to_string(task), R"({"n":)" + std::to_string(i) + "}");
      for (const Prediction& each : history.graph.predict(id, {.limit = 3})) {
        if (session >= 200 && each.probability >= 0.9) {
          ++sure;
          sure_came += each.call == came ? 1 : 0;
        }
      }
      history.graph.observe(id, "t", came, output("null"));
    }
    history.graph.end(id);
  }
  // Of a few nothing follows.
  CHECK((sure < 100 || static_cast<double>(sure_came) >= 0.95 * static_cast<double>(sure)));
  CHECK((strays_in_hundred > 1 || sure > 2'000));
}

TEST_CASE("where sessions have one length, their end is expected, and nothing else then",
          "[prediction_graph]") {
  History history;
  Prng prng(12);
  const auto steps = [&](std::size_t count) {
    std::vector<Taken> taken_steps;
    for (std::size_t i = 0; i < count; ++i) {
      taken_steps.push_back(taken("t" + std::to_string(prng.below(3)), "{}", "null"));
    }
    return taken_steps;
  };
  for (int session = 0; session < 300; ++session) {
    history.teach(steps(6));
  }
  const auto all = [&](std::size_t count) {
    double sum = 0;
    for (const Prediction& each : history.graph.predict(history.open(steps(count)), {.limit = 5})) {
      sum += each.probability;
    }
    return sum;
  };
  CHECK(all(3) > 0.9);
  CHECK(all(6) < 0.3);
}

TEST_CASE("arguments come from inputs, outputs and text that were never seen before",
          "[prediction_graph]") {
  History history;
  const auto session = [](int i) {
    const std::string user = "\"user_" + std::to_string(i) + "\"";
    const std::string order = "\"#W" + std::to_string(7000 + 13 * i) + "\"";
    return std::vector<Taken>{
        taken("find_user", R"({"user":)" + user + "}", R"({"orders":[)" + order + "]}"),
        taken("get_order", R"({"order":)" + order + R"(,"user":)" + user + "}")};
  };
  const auto text = [](int i) {
    return "My login is user_" + std::to_string(i) + ", please help.";
  };
  for (int i = 0; i < 20; ++i) {
    history.teach(session(i), "t", text(i));
  }
  const std::vector<Taken> fresh = session(900);
  const auto first = history.graph.predict(history.open({}, "t", text(900)), {.limit = 3});
  REQUIRE(first.front().call == fresh[0].call);
  const auto second = history.graph.predict(history.open({fresh[0]}, "t", text(900)), {.limit = 3});
  REQUIRE(second.front().call == fresh[1].call);
  REQUIRE(second.front().probability > 0.7);
  REQUIRE(second.front().reasons.size() == 3);
}

TEST_CASE("an argument that came from one place for long is bound anew when it comes from another",
          "[prediction_graph]") {
  History history;
  const auto session = [](int i, const std::string& member) {
    const std::string first = "\"A" + std::to_string(1000 + i) + "\"";
    const std::string second = "\"B" + std::to_string(1000 + i) + "\"";
    return std::vector<Taken>{
        taken("find", "{}", R"({"first":)" + first + R"(,"second":)" + second + "}"),
        taken("get", R"({"id":)" + (member == "first" ? first : second) + "}")};
  };
  const auto expected = [&](int i, const std::string& member) {
    const std::vector<Taken> fresh = session(i, member);
    const auto made = history.graph.predict(history.open({fresh[0]}), {.limit = 3});
    return made.empty() || !(made.front().call == fresh[1].call) ? 0 : made.front().probability;
  };
  for (int i = 0; i < 80; ++i) {
    history.teach(session(i, "first"));
  }
  CHECK(expected(900, "first") > 0.9);
  history.teach(session(80, "second"));
  CHECK(expected(901, "second") == 0);
  for (int i = 81; i < 87; ++i) {
    history.teach(session(i, "second"));
  }
  CHECK(expected(902, "second") > 0.3);
  for (int i = 87; i < 200; ++i) {
    history.teach(session(i, "second"));
  }
  CHECK(expected(903, "second") > 0.9);
}

TEST_CASE("an argument that came from nowhere for long is bound once it comes from somewhere",
          "[prediction_graph]") {
  History history;
  const auto session = [](int i, bool is_bound) {
    const std::string given = "\"A" + std::to_string(1000 + i) + "\"";
    const std::string other = "\"X" + std::to_string(5000 + 7 * i) + "\"";
    return std::vector<Taken>{taken("find", "{}", R"({"id":)" + given + "}"),
                              taken("get", R"({"id":)" + (is_bound ? given : other) + "}")};
  };
  for (int i = 0; i < 120; ++i) {
    history.teach(session(i, false));
  }
  for (int i = 120; i < 160; ++i) {
    history.teach(session(i, true));
  }
  const std::vector<Taken> fresh = session(900, true);
  const auto made = history.graph.predict(history.open({fresh[0]}), {.limit = 3});
  REQUIRE_FALSE(made.empty());
  CHECK(made.front().call == fresh[1].call);
}

TEST_CASE("a list is walked: the next element that was not used yet", "[prediction_graph]") {
  History history;
  const auto session = [](int i) {
    const auto id = [i](int n) { return "\"R" + std::to_string(100 * i + n) + "\""; };
    return std::vector<Taken>{taken("list", "{}", "[" + id(1) + "," + id(2) + "," + id(3) + "]"),
                              taken("get", R"({"id":)" + id(1) + "}"),
                              taken("get", R"({"id":)" + id(2) + "}"),
                              taken("get", R"({"id":)" + id(3) + "}")};
  };
  for (int i = 1; i < 20; ++i) {
    history.teach(session(i));
  }
  const std::vector<Taken> fresh = session(50);
  const RunId id = history.open({fresh[0]});
  for (std::size_t i = 1; i < fresh.size(); ++i) {
    REQUIRE(history.graph.predict(id, {.limit = 1}).front().call == fresh[i].call);
    history.graph.observe(id, "t", fresh[i].call, fresh[i].output);
  }
}

TEST_CASE("a task is expected where nothing tells its argument", "[prediction_graph]") {
  History history;
  Prng prng(7);
  const auto drawn = [&prng] {
    return R"({"city":"here","id":")" + std::to_string(prng.next()) + "\"}";
  };
  for (int i = 0; i < 60; ++i) {
    history.teach({taken("greet"), taken("look", drawn()), taken("bye")});
  }
  const RunId id = history.open({taken("greet")});
  Question question;
  question.explains = true;
  const Expectation expected = history.graph.expect(id, question);
  CHECK((expected.calls.empty() || expected.calls.front().probability < 0.1));
  REQUIRE_FALSE(expected.tasks.empty());
  CHECK(expected.tasks.front().task == "look");
  CHECK(expected.tasks.front().probability > 0.9);
  CHECK(expected.tasks.front().unfilled == std::vector<std::string>{"id"});
  // The calls are those of a question without tasks.
  CHECK(written(expected.calls) == written(history.graph.predict(id, question)));

  // Where the arguments are known, nothing is missing.
  history.graph.observe(id, "t", call("look", drawn()), output("null"));
  const Expectation next = history.graph.expect(id, question);
  REQUIRE_FALSE(next.tasks.empty());
  CHECK(next.tasks.front().task == "bye");
  CHECK(next.tasks.front().probability > 0.9);
  CHECK(next.tasks.front().unfilled.empty());
}

TEST_CASE("the end is learned like a call, so nothing is expected after the last step",
          "[prediction_graph]") {
  History history;
  for (int i = 0; i < 30; ++i) {
    history.teach({taken("a"), taken("b")});
  }
  const auto predictions =
      history.graph.predict(history.open({taken("a"), taken("b")}), {.limit = 3});
  REQUIRE(probability_of(predictions, call("a")) < 0.05);
  REQUIRE(probability_of(predictions, call("b")) < 0.05);

  History endless;
  for (int i = 0; i < 30; ++i) {
    endless.teach({taken("a"), taken("b"), taken("a"), taken("b")});
  }
  // Half of the b are followed by a, half by the end; what came before tells which.
  REQUIRE(
      probability_of(endless.graph.predict(endless.open({taken("a"), taken("b")}), {.limit = 3}),
                     call("a")) > 0.7);
}

TEST_CASE("beyond a running step its likely outputs are premises of what follows",
          "[prediction_graph]") {
  History history;
  const auto session = [](int i, const std::string& label) {
    const std::string input = R"({"document":"D-)" + std::to_string(i) + "\"}";
    return std::vector<Taken>{taken("classify", input, R"({"label":")" + label + "\"}"),
                              taken(label == "a" ? "pay" : "file", input)};
  };
  for (int i = 0; i < 40; ++i) {
    history.teach(session(i, i % 4 == 0 ? "b" : "a"));
  }
  const RunId id = history.open({});
  const std::vector<Taken> fresh = session(900, "a");
  const ImaginedStep running{fresh[0].call, std::nullopt};
  const auto predictions =
      history.graph.predict(id, {.beyond = std::span(&running, 1), .limit = 8});
  const auto premised = std::find_if(
      predictions.begin(), predictions.end(),
      [&](const Prediction& each) { return each.premise && each.call == fresh[1].call; });
  REQUIRE(premised != predictions.end());
  REQUIRE(premised->premise->hash() == fresh[0].output->hash());
  REQUIRE(premised->probability > 0.8);
  REQUIRE(premised->premise_probability == Approx(0.75).margin(0.1));
  // The call needs nothing of the output, so that it also stands alone, as likely as it is without
  // knowing.
  REQUIRE(probability_of(predictions, fresh[1].call) == Approx(0.73).margin(0.12));
  // What a step beyond that would be follows from the premise.
  const std::vector<ImaginedStep> path = {{fresh[0].call, premised->premise}};
  REQUIRE(history.graph.predict(id, {.beyond = path, .limit = 1}).front().call == fresh[1].call);
  // Imagining leaves no trace.
  REQUIRE(written(history.graph.predict(id, {.beyond = std::span(&running, 1), .limit = 8})) ==
          written(predictions));
}

TEST_CASE("a call that needs a value of the running step's output is not made up",
          "[prediction_graph]") {
  History history;
  const auto session = [](int i) {
    const std::string token = "\"" + std::to_string(7919 * i) + "-token\"";
    return std::vector<Taken>{taken("sign", "{}", R"({"token":)" + token + "}"),
                              taken("send", R"({"token":)" + token + "}")};
  };
  for (int i = 1; i < 40; ++i) {
    history.teach(session(i));
  }
  const RunId id = history.open({});
  const ImaginedStep running{call("sign"), std::nullopt};
  for (const Prediction& each :
       history.graph.predict(id, {.beyond = std::span(&running, 1), .limit = 8})) {
    REQUIRE(each.probability * each.premise_probability < 0.1);
  }
  const std::vector<Taken> fresh = session(77);
  const ImaginedStep done{fresh[0].call, fresh[0].output};
  REQUIRE(history.graph.predict(id, {.beyond = std::span(&done, 1), .limit = 1}).front().call ==
          fresh[1].call);
}

TEST_CASE("one tenant's history never reaches another", "[prediction_graph]") {
  History together;
  History alone;
  Prng prng(7);
  for (int i = 0; i < 50; ++i) {
    together.teach({taken("a"), taken("secret", R"({"key":"of the other"})")}, "other",
                   "flow secret");
    const std::vector<Taken> own = random_session(prng);
    together.teach(own, "own");
    alone.teach(own, "own");
  }
  const std::vector<Taken> begun = {taken("a")};
  const auto of_new =
      together.graph.predict(together.open(begun, "new", "flow secret"), {.limit = 8});
  REQUIRE(std::none_of(of_new.begin(), of_new.end(),
                       [](const Prediction& each) { return each.call.task() == "secret"; }));
  const RunId in_company = together.open({taken("task1", R"({"document":"D-1"})")}, "own");
  const RunId by_itself = alone.open({taken("task1", R"({"document":"D-1"})")}, "own");
  REQUIRE(written(together.graph.predict(in_company, {.limit = 8})) ==
          written(alone.graph.predict(by_itself, {.limit = 8})));
}

TEST_CASE("what one tenant forgets is gone, and only that", "[prediction_graph]") {
  History history;
  for (int i = 0; i < 20; ++i) {
    history.teach({taken("a"), taken("b")}, "forgets");
    history.teach({taken("a"), taken("b")}, "keeps");
  }
  const RunId open = history.open({taken("a")}, "forgets");
  const RunId other = history.open({taken("a")}, "keeps");
  history.graph.forget("forgets");
  REQUIRE(history.graph.predict(open, {.limit = 8}).empty());
  const RunId later = history.open({taken("a")}, "forgets");
  REQUIRE(probability_of(history.graph.predict(later, {.limit = 8}), call("b")) == 0);
  REQUIRE(probability_of(history.graph.predict(other, {.limit = 8}), call("b")) > 0.8);
  for (int i = 0; i < 20; ++i) {
    history.teach({taken("a"), taken("c")}, "forgets");
  }
  const RunId anew = history.open({taken("a")}, "forgets");
  REQUIRE(probability_of(history.graph.predict(anew, {.limit = 8}), call("c")) > 0.8);
  REQUIRE(probability_of(history.graph.predict(anew, {.limit = 8}), call("b")) == 0);
}

TEST_CASE("the future changes no prediction that was made before it", "[prediction_graph]") {
  Prng prng(3);
  std::vector<std::vector<Taken>> sessions;
  for (int i = 0; i < 60; ++i) {
    sessions.push_back(random_session(prng));
  }
  const auto replay = [](const std::vector<std::vector<Taken>>& order, std::size_t until) {
    History history;
    std::string said;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const RunId id = run(++history.sessions);
      history.graph.text(id, "t", "");
      for (const Taken& step : order[i]) {
        const std::string now = written(history.graph.predict(id, {.limit = 5}));
        said += i < until ? now : "";
        history.graph.observe(id, "t", step.call, step.output);
      }
      history.graph.end(id);
    }
    return said;
  };
  const std::string before = replay(sessions, 30);
  REQUIRE_FALSE(before.empty());
  auto shuffled = sessions;
  for (std::size_t i = 59; i > 30; --i) {
    std::swap(shuffled[i], shuffled[30 + prng.below(i - 29)]);
  }
  REQUIRE(replay(shuffled, 30) == before);
  REQUIRE(replay(sessions, 60) == replay(sessions, 60));
}

TEST_CASE("asking does not change what is answered later", "[prediction_graph]") {
  History asked;
  History silent;
  Prng prng(11);
  for (int i = 0; i < 40; ++i) {
    const std::vector<Taken> session = random_session(prng);
    silent.teach(session);
    const RunId id = run(++asked.sessions);
    asked.graph.text(id, "t", "");
    for (const Taken& step : session) {
      const ImaginedStep running{step.call, std::nullopt};
      static_cast<void>(asked.graph.predict(id, {.beyond = std::span(&running, 1), .limit = 4}));
      asked.graph.observe(id, "t", step.call, step.output);
    }
    asked.graph.end(id);
  }
  REQUIRE(written(asked.graph.predict(asked.open({}), {.limit = 8})) ==
          written(silent.graph.predict(silent.open({}), {.limit = 8})));
}

TEST_CASE("memory stays within its settings whatever comes", "[prediction_graph]") {
  PredictionSettings settings;
  settings.sessions_max = 10;
  settings.session_bytes_max = 100'000;
  settings.contexts_max = 300;
  settings.forms_max = 20;
  settings.parameters_max = 20;
  settings.outputs_max = 15;
  settings.fields_max = 25;
  settings.tenants_max = 4;
  History history(settings);
  Prng prng(5);
  for (int i = 0; i < 500; ++i) {
    const std::string number = std::to_string(prng.next());
    const std::vector<Taken> session = {
        taken("task" + number, R"({"p)" + number + R"(":1})", R"({"f":")" + number + "\"}"),
        taken("other" + number, "{}", "\"" + number + "\"")};
    const RunId id = history.open(session, "tenant" + std::to_string(i % 7), "text " + number);
    if (i % 3 == 0) {
      history.graph.end(id);
    }
  }
  const PredictionSizes sizes = history.graph.sizes();
  REQUIRE(sizes.sessions <= settings.sessions_max);
  REQUIRE(sizes.session_bytes <= settings.session_bytes_max);
  REQUIRE(sizes.contexts <= settings.contexts_max);
  REQUIRE(sizes.forms <= settings.forms_max);
  REQUIRE(sizes.parameters <= settings.parameters_max);
  REQUIRE(sizes.outputs <= settings.outputs_max);
  REQUIRE(sizes.fields <= settings.fields_max);
  REQUIRE(sizes.tenants <= settings.tenants_max);
}

TEST_CASE("limits for other amounts of memory are the usual ones, scaled", "[prediction_graph]") {
  const PredictionSettings usual;
  const PredictionSettings same = prediction_within(prediction_megabytes);
  CHECK(same.contexts_max == usual.contexts_max);
  CHECK(same.session_bytes_max == usual.session_bytes_max);
  CHECK(prediction_within(prediction_megabytes / 4).contexts_max == usual.contexts_max / 4);
  CHECK(prediction_within(1'048'576).session_bytes_max == usual.session_bytes_max * 1024);
  CHECK(prediction_within(1).past_sessions_max == usual.past_sessions_max / 1024);
  CHECK(prediction_within(16).tenants_max == usual.tenants_max);
}

TEST_CASE("what sessions hold is counted as it grows, shrinks and is asked about",
          "[prediction_graph]") {
  PredictionSettings settings;
  settings.model_task = "think";
  History history(settings);
  const RunId first = history.open({taken("a", "{}", "1")}, "t", "some text");
  const std::size_t one = history.graph.sizes().session_bytes;
  CHECK(one > 200);
  const RunId second = history.open({taken("a", "{}", "1")}, "t", "some text");
  // A model's turn changes nothing of what is held.
  history.graph.observe(second, "t", call("think", R"({"said":"x"})"), std::nullopt);
  CHECK(history.graph.sizes().session_bytes == 2 * one);
  CHECK(history.graph.sizes().sessions == 2);
  const ImaginedStep imagined{call("b", R"({"list":[1,2,3,4,5,6,7,8,9]})"), output("[1,2,3,4,5]")};
  history.graph.predict(first, {.beyond = {&imagined, 1}});
  history.graph.end(first);
  history.graph.end(second);
  CHECK(history.graph.sizes().session_bytes == 0);
}

TEST_CASE("a stated probability is about how often it comes true", "[prediction_graph]") {
  History history;
  Prng prng(21);
  double said = 0;
  double came = 0;
  double count = 0;
  for (int i = 0; i < 1'500; ++i) {
    const std::string label = prng.chance(0.8) ? "a" : "b";
    const std::vector<Taken> session = {taken("start", "{}", R"({"label":")" + label + "\"}"),
                                        taken(prng.chance(0.9) ? "usual" : "rare" + label)};
    const RunId id = history.open({session[0]});
    const auto predictions = history.graph.predict(id, {.limit = 1});
    if (i >= 100) {
      said += predictions.front().probability;
      came += predictions.front().call == session[1].call ? 1 : 0;
      count += 1;
    }
    history.graph.observe(id, "t", session[1].call, session[1].output);
    history.graph.end(id);
  }
  REQUIRE(said / count == Approx(came / count).margin(0.03));
}

TEST_CASE("what is too improbable or not wanted is left out, and the rest is about the same",
          "[prediction_graph]") {
  History history;
  for (std::uint64_t i = 0; i < 30; ++i) {
    history.teach({taken("a"), taken(i % 3 == 0 ? "b" : "c")});
  }
  const RunId id = history.open({taken("a")});
  const std::vector<Prediction> all = history.graph.predict(id, {});
  REQUIRE(all.size() >= 2);
  const std::vector<Prediction> likely = history.graph.predict(id, {.probability_min = 0.5});
  REQUIRE(likely.size() == 1);
  CHECK(likely.front().call == all.front().call);
  CHECK(likely.front().reasons == all.front().reasons);
  CHECK(likely.front().probability == Approx(all.front().probability).margin(0.01));
  Question question;
  question.wants = [](const std::string& task) { return task == "b"; };
  const std::vector<Prediction> wanted = history.graph.predict(id, question);
  REQUIRE(wanted.size() == 1);
  CHECK(wanted.front().call.task() == "b");
  CHECK(wanted.front().probability == probability_of(all, wanted.front().call));
}

TEST_CASE("without learning sessions are followed and teach nothing", "[prediction]") {
  History history;
  for (int i = 0; i < 20; ++i) {
    history.teach({taken("a"), taken("b")});
  }
  history.graph.set_learning(false);
  for (int i = 0; i < 40; ++i) {
    history.teach({taken("a"), taken("c")});
  }
  const RunId id = history.open({taken("a")});
  const auto predictions = history.graph.predict(id, {});
  REQUIRE(!predictions.empty());
  CHECK(predictions.front().call == call("b"));
  CHECK(probability_of(predictions, call("c")) == 0);
}

TEST_CASE("a model's call is named by what was said, also beyond an imagined answer",
          "[prediction]") {
  PredictionSettings settings;
  settings.model_task = "think";
  PredictionGraph graph(settings);
  const auto asked = [](const Conversation& said) {
    json::Object input;
    input.set(conversation_parameter, said.digest());
    return Call::make("think", std::move(input));
  };
  const Taken look = taken("look", "{}", R"({"found":1})");
  for (std::uint64_t i = 1; i <= 30; ++i) {
    const RunId id = run(i);
    Conversation said;
    said.text("go");
    graph.text(id, "t", "go");
    graph.observe(id, "t", asked(said), output("null"));
    graph.observe(id, "t", look.call, look.output);
    said.step(look.call, *look.output);
    graph.observe(id, "t", asked(said), output("null"));
    graph.end(id);
  }
  const RunId id = run(99);
  Conversation said;
  said.text("go");
  graph.text(id, "t", "go");
  CHECK(probability_of(graph.predict(id, {}), asked(said)) > 0.8);
  graph.observe(id, "t", asked(said), output("null"));
  CHECK(probability_of(graph.predict(id, {}), look.call) > 0.7);
  said.step(look.call, *look.output);
  const std::vector<ImaginedStep> beyond = {{look.call, look.output}};
  Question question;
  question.beyond = beyond;
  CHECK(probability_of(graph.predict(id, question), asked(said)) > 0.3);
}

TEST_CASE("a session longer than its memory ends, and the next one is predicted", "[prediction]") {
  PredictionSettings settings;
  settings.steps_per_session_max = 2;
  History history(settings);
  std::vector<Taken> steps;
  for (int i = 0; i < 20; ++i) {
    steps.push_back(taken("a"));
    steps.push_back(taken("b"));
  }
  for (int i = 0; i < 5; ++i) {
    history.teach(steps, "t", "go on");
  }
  const RunId id = history.open({taken("a")}, "t", "go on");
  CHECK(probability_of(history.graph.predict(id, {}), call("b")) > 0.5);
}

TEST_CASE("arguments are found in the latest steps of a long session, and in its first ones",
          "[prediction]") {
  PredictionSettings settings;
  settings.steps_per_session_max = 64;
  History history(settings);
  const RunId id = history.open({}, "t", "work for customer C-77 and count");
  std::size_t counted = 0;
  std::size_t right = 0;
  std::size_t bytes = 0;
  for (int i = 0; i < 1'000; ++i) {
    const std::string token = "\"tok-" + std::to_string(7'919 * i % 100'003) + "\"";
    history.graph.observe(id, "t", call("take", R"({"n":)" + std::to_string(i) + "}"),
                          output(R"({"token":)" + token + "}"));
    const Call use = call("use", R"({"customer":"C-77","token":)" + token + "}");
    const Call next = call("take", R"({"n":)" + std::to_string(i + 1) + "}");
    const auto best = [&] {
      const auto made = history.graph.predict(id, {.limit = 1});
      return made.empty() ? call("none") : made.front().call;
    };
    if (i >= 100) {
      counted += 2;
      right += best() == use ? 1 : 0;
    }
    history.graph.observe(id, "t", use, output("null"));
    right += i >= 100 && best() == next ? 1 : 0;
    if (i == 200) {
      bytes = history.graph.sizes().session_bytes;
    }
  }
  CHECK(right >= counted * 99 / 100);
  CHECK(history.graph.sizes().session_bytes < 2 * bytes);
}

TEST_CASE("one session of large calls holds no more than its part", "[prediction]") {
  const PredictionSettings settings;
  History history(settings);
  const RunId id = history.open({}, "t", "");
  std::string members;
  for (int i = 0; i < 6'000; ++i) {
    members += (members.empty() ? "\"" : ",\"") + std::to_string(i) + "\":1";
  }
  const Output large = *output("{" + members + "}");
  const std::size_t held = large.canonical().size() + json::heap_bytes(large.value());
  REQUIRE(large.canonical().size() < prediction::MemoryLimits().document_bytes);
  REQUIRE(500 * held > settings.session_bytes_max / 3);
  for (int i = 0; i < 500; ++i) {
    const std::string token = "\"tok-" + std::to_string(7'919 * i % 100'003) + "\"";
    history.graph.observe(id, "t", call("make", R"({"n":)" + std::to_string(i) + "}"),
                          output(R"({"token":)" + token + "}"));
    history.graph.observe(id, "t", call("use", R"({"token":)" + token + "}"), large);
    REQUIRE(history.graph.sizes().session_bytes < settings.session_bytes_max / 4);
  }
  // What came last is still there.
  history.graph.observe(id, "t", call("make", R"({"n":500})"), output(R"({"token":"tok-last"})"));
  const auto made = history.graph.predict(id, {.limit = 1});
  REQUIRE_FALSE(made.empty());
  CHECK(made.front().call == call("use", R"({"token":"tok-last"})"));
}

TEST_CASE("calls too large to be remembered leave neither values nor their text", "[prediction]") {
  History history;
  const RunId id = history.open({}, "t", "");
  std::string members;
  for (int i = 0; i < 20'000; ++i) {
    members += (members.empty() ? "\"" : ",\"") + std::to_string(i) + "\":1";
  }
  for (int i = 0; i < 20; ++i) {
    history.graph.observe(id, "t", call("put", "{" + members + ",\"n\":" + std::to_string(i) + "}"),
                          output("1"));
  }
  CHECK(history.graph.sizes().session_bytes < 1U << 20U);
}

TEST_CASE("a text is corrected by the names that came back", "[prediction]") {
  History history;
  for (int i = 0; i < 12; ++i) {
    const std::string n = std::to_string(i);
    history.teach({
        taken("ask", R"({"query":"get title from stor)" + n + R"(ies"})",
              R"("error: no table stor)" + n + R"(ies here")"),
        taken("names", "{}", R"([["paint)" + n + R"("],["stor)" + n + R"(y"]])"),
        taken("ask", R"({"query":"get title from stor)" + n + R"(y"})", "1"),
    });
  }
  const RunId id = history.open({
      taken("ask", R"({"query":"get weight from animals"})", R"("error: no table animals here")"),
      taken("names", "{}", R"([["plant"],["animal"],["mineral"]])"),
  });
  const std::vector<Prediction> made = history.graph.predict(id, {.limit = 3});
  REQUIRE(!made.empty());
  CHECK(made.front().call == call("ask", R"({"query":"get weight from animal"})"));
  REQUIRE(made.front().reasons.size() == 2);
  CHECK(made.front().reasons[1].find("its last one, corrected") != std::string::npos);
}

TEST_CASE("a list of objects is made of another's members, however long it is", "[prediction]") {
  History history;
  const auto trip = [](int first, int count) {
    std::string found, booked;
    for (int n = first; n < first + count; ++n) {
      const std::string leg =
          R"({"day":"d)" + std::to_string(n) + R"(","flight":"F)" + std::to_string(n) + "\"";
      found += (found.empty() ? "" : ",") + leg + R"(,"price":9})";
      booked += (booked.empty() ? "" : ",") + leg + "}";
    }
    return std::vector<Taken>{taken("find", "{}", R"({"legs":[)" + found + "]}"),
                              taken("book", R"({"legs":[)" + booked + "]}")};
  };
  for (int i = 0; i < 10; ++i) {
    history.teach(trip(10 + 5 * i, 1 + i % 3));
  }
  const std::vector<Taken> next = trip(90, 5);
  const RunId id = history.open({next[0]});
  const std::vector<Prediction> made = history.graph.predict(id, {.limit = 3});
  REQUIRE(!made.empty());
  CHECK(made.front().call == next[1].call);
}

TEST_CASE("an object is put together from what its parts are taken from", "[prediction]") {
  History history;
  const auto order = [](const std::string& name, const std::string& code) {
    return std::vector<Taken>{
        taken("person", "{}", R"({"name":")" + name + R"("})"),
        taken("item", "{}", R"({"code":")" + code + R"("})"),
        taken("order",
              R"({"what":{"for":")" + name + R"(","kind":"gift","of":")" + code + R"("}})"),
    };
  };
  for (int i = 0; i < 10; ++i) {
    history.teach(order("N" + std::to_string(i), "C" + std::to_string(i)));
  }
  const std::vector<Taken> next = order("Zoe", "Q7");
  const RunId id = history.open({next[0], next[1]});
  const std::vector<Prediction> made = history.graph.predict(id, {.limit = 3});
  REQUIRE(!made.empty());
  CHECK(made.front().call == next[2].call);
}

TEST_CASE("words of the text mean values that no session shows", "[prediction]") {
  History history;
  const std::vector<std::pair<std::string, std::string>> cities = {
      {"Seattle", "SEA"}, {"Boston", "BOS"}, {"Denver", "DEN"}, {"Miami", "MIA"}};
  for (std::size_t i = 0; i < 40; ++i) {
    const auto& [city, code] = cities[i * 7 % 4];
    history.teach({taken("fly", R"({"to":")" + code + R"("})")}, "t",
                  "Please take me to " + city + " soon");
  }
  for (const auto& [city, code] : cities) {
    const RunId id = history.open({}, "t", "I must be in " + city);
    const std::vector<Prediction> made = history.graph.predict(id, {.limit = 3});
    REQUIRE(!made.empty());
    CHECK(made.front().call == call("fly", R"({"to":")" + code + R"("})"));
  }
}

TEST_CASE("of a list's items the one that the text speaks of is taken", "[prediction]") {
  History history;
  const std::vector<std::string> names = {"ada", "bob", "cid", "dan", "eve"};
  const auto list = [&](int n) {
    std::string items;
    for (std::size_t i = 0; i < names.size(); ++i) {
      items += (i == 0 ? "" : ",") + std::string(R"({"id":"u)") +
               std::to_string(n * 10 + static_cast<int>(i)) + R"(","owner":")" + names[i] + "\"}";
    }
    return "[" + items + "]";
  };
  for (int n = 1; n < 30; ++n) {
    const std::size_t who = static_cast<std::size_t>(n * 3) % names.size();
    history.teach(
        {taken("list", "{}", list(n)),
         taken("open", R"({"id":"u)" + std::to_string(n * 10 + static_cast<int>(who)) + "\"}")},
        "t", "Open what belongs to " + names[who]);
  }
  const RunId id = history.open({taken("list", "{}", list(77))}, "t", "Open what belongs to dan");
  const std::vector<Prediction> made = history.graph.predict(id, {.limit = 3});
  REQUIRE(!made.empty());
  CHECK(made.front().call == call("open", R"({"id":"u773"})"));
}

namespace {

/// A made-up workflow whose later calls take what only the first one's output says.
std::vector<Taken> workflow(std::uint64_t kind, Prng& prng) {
  const auto number = [&] { return std::to_string(10'000 + prng.below(900'000)); };
  const auto code = [&] {
    std::string made;
    for (int i = 0; i < 9; ++i) {
      made.push_back("0123456789abcdef"[prng.below(16)]);
    }
    return "c" + made;
  };
  const std::string asked = R"({"q":")" + code() + "\"}";
  const std::string a = code(), b = code(), n = number(), m = number();
  const auto takes = [](const std::string& task, const std::string& value) {
    return taken(task, R"({"v":)" + value + "}");
  };
  const auto text = [](const std::string& value) { return "\"" + value + "\""; };
  switch (kind) {
    case 0:  // Ids in a sentence.
      return {taken("order", asked, text("Created order ORD-" + n + " for b" + m + "@x.org")),
              takes("ship", text("ORD-" + n)), takes("mail", text("b" + m + "@x.org"))};
    case 1: {  // One whose words are not always the same.
      const char* const said[] = {"Ticket % is open.", "We opened % now", "See: %, since today"};
      std::string sentence = said[prng.below(3)];
      sentence.replace(sentence.find('%'), 1, a);
      return {taken("ticket", asked, R"({"message":")" + sentence + "\"}"),
              takes("assign", text(a))};
    }
    case 2:  // The parts of a URL.
      return {
          taken("start", asked, R"({"at":"https://api.x.org/v1/jobs/)" + a + "?page=" + n + "\"}"),
          takes("poll", text(a)), takes("turn", n)};
    case 3:  // A table, whose rows are walked.
      return {taken("list", asked,
                    text("| bill | sum |\\n|---|---|\\n| " + a + " | " + n + " |\\n| " + b + " | " +
                         m + " |")),
              takes("bill", text(a)), takes("bill", text(b)), takes("pay", n)};
    case 4:  // A link.
      return {taken("find", asked, text("Found [the guide](https://x.org/d/" + a + ") for you")),
              takes("fetch", text("https://x.org/d/" + a))};
    case 5:  // Lines of names and values.
      return {taken("track", asked,
                    text("Shipment ID: " + a + "\\nPlace: hall " + n + " east\\nState: moving")),
              takes("locate", text(a)), takes("go", text("hall " + n + " east"))};
    case 6:  // A document in a text.
      return {taken("tool", asked,
                    R"({"content":"{\"id\":\")" + a + R"(\",\"items\":[{\"ref\":\")" + b +
                        R"(\"}]}"})"),
              takes("load", text(a)), takes("item", text(b))};
    case 7:  // A number that becomes a text.
      return {taken("user", asked, R"({"id":)" + n + "}"), takes("get_user", text(n))};
    case 8:  // A text that becomes a number.
      return {taken("room", asked, R"({"id":")" + n + "\"}"), takes("get_room", n)};
    default:  // Numbers that are walked as texts.
      return {taken("rows", asked, R"({"ids":[)" + n + "," + m + "]}"), takes("row", text(n)),
              takes("row", text(m))};
  }
}
constexpr std::uint64_t workflows = 10;

/// Of the calls of the last sessions behind their first, how many were the first guess.
std::vector<double> shares_named(std::optional<Idea> without) {
  PredictionSettings settings;
  settings.without = without;
  History history(settings);
  Prng prng(17);
  std::vector<double> came(workflows), all(workflows);
  for (int i = 0; i < 600; ++i) {
    const std::uint64_t kind = prng.below(workflows);
    const std::vector<Taken> steps = workflow(kind, prng);
    const RunId id = history.open({steps[0]});
    for (std::size_t n = 1; n < steps.size(); ++n) {
      const auto predictions = history.graph.predict(id, {.limit = 1});
      if (i >= 400) {
        all[kind] += 1;
        came[kind] += !predictions.empty() && predictions.front().call == steps[n].call ? 1 : 0;
      }
      history.graph.observe(id, "t", steps[n].call, steps[n].output);
    }
    history.graph.end(id);
  }
  for (std::uint64_t kind = 0; kind < workflows; ++kind) {
    came[kind] /= all[kind];
  }
  return came;
}

}  // namespace

TEST_CASE("arguments are found in texts of outputs, and numbers as texts and texts as numbers",
          "[prediction]") {
  const std::vector<double> with = shares_named(std::nullopt);
  const std::vector<double> without = shares_named(Idea::parts_of_texts);
  for (std::uint64_t kind = 0; kind < workflows; ++kind) {
    CAPTURE(kind);
    CHECK(with[kind] >= 0.95);
    CHECK(without[kind] <= 0.05);
  }
}

TEST_CASE("an argument that came from nowhere for long is bound once a text or a number has it",
          "[prediction]") {
  for (const std::uint64_t kind : {0, 7, 8}) {
    CAPTURE(kind);
    History history;
    Prng prng(6);
    for (int i = 0; i < 100; ++i) {
      std::vector<Taken> steps = workflow(kind, prng);
      steps[0] = taken(steps[0].call.task());
      history.teach(steps);
    }
    for (int i = 0; i < 12; ++i) {
      history.teach(workflow(kind, prng));
    }
    const std::vector<Taken> steps = workflow(kind, prng);
    const auto made = history.graph.predict(history.open({steps[0]}), {.limit = 1});
    REQUIRE(!made.empty());
    CHECK(made.front().call == steps[1].call);
  }
}

TEST_CASE("reasons say where in a text a value stands, and what was made of it", "[prediction]") {
  const auto reasons = [](std::uint64_t kind, std::size_t steps) {
    History history;
    Prng prng(9);
    for (int i = 0; i < 40; ++i) {
      history.teach(workflow(kind, prng));
    }
    std::vector<Taken> open = workflow(kind, prng);
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(steps), open.end());
    const auto made = history.graph.predict(history.open(open), {.limit = 1, .explains = true});
    REQUIRE(!made.empty());
    std::string lines;
    for (const std::string& line : made.front().reasons) {
      lines += line + "\n";
    }
    return lines;
  };
  using Catch::Matchers::Contains;
  CHECK_THAT(reasons(0, 1), Contains("in the text of output of order after 'order'") ||
                                Contains("in the text of output of order by its look"));
  CHECK_THAT(reasons(2, 2), Contains("in the text of output of start: at after 'page'"));
  CHECK_THAT(reasons(3, 3), Contains("in the text of output of list in column 'sum'"));
  CHECK_THAT(reasons(6, 2), Contains("output of tool: content: items[*].ref"));
  CHECK_THAT(reasons(7, 1), Contains("output of user: id, as a text"));
  CHECK_THAT(reasons(8, 1), Contains("output of room: id, as a number"));
}

TEST_CASE("where sessions end the end is likely, elsewhere not", "[prediction]") {
  History history;
  for (int i = 0; i < 20; ++i) {
    history.teach({taken("first"), taken("last")});
  }
  const RunId id = history.open({taken("first")});
  CHECK(history.graph.end_probability(id, {}) < 0.1);
  const ImaginedStep imagined{call("last"), output("null")};
  CHECK(history.graph.end_probability(id, {.beyond = std::span(&imagined, 1)}) > 0.8);
  const ImaginedStep running{call("last"), std::nullopt};
  CHECK(history.graph.end_probability(id, {.beyond = std::span(&running, 1)}) == 0);
  history.graph.observe(id, "t", call("last"), output("null"));
  CHECK(history.graph.end_probability(id, {}) > 0.8);
}

TEST_CASE("every idea has a name of its own and can be left out", "[prediction]") {
  for (std::size_t n = 0; n < ideas; ++n) {
    const auto idea = static_cast<Idea>(n);
    CHECK(parse_idea(to_string(idea)) == idea);
    PredictionSettings settings;
    settings.without = idea;
    History history(settings);
    for (int i = 0; i < 20; ++i) {
      history.teach({taken("first"), taken("last")}, "t", "do the first and the last");
    }
    const RunId id = history.open({taken("first")}, "t", "do the first and the last");
    const std::vector<Prediction> made = history.graph.predict(id, {});
    REQUIRE(!made.empty());
    CHECK(made.front().call == call("last"));
  }
  CHECK(!parse_idea("something else"));
}

namespace {

/// Of pages that are got one after the other, and again where that failed: how often the next call
/// was named first, in the second half.
double share_of_retries(const PredictionSettings& settings) {
  PredictionGraph graph(settings);
  Prng prng(11);
  double asked = 0;
  double right = 0;
  for (std::uint64_t n = 1; n <= 300; ++n) {
    json::Array urls;
    for (int i = 0; i < 3; ++i) {
      urls.emplace_back("page-" + std::to_string(prng.below(1'000'000)));
    }
    const std::vector<json::Value> order(urls.begin(), urls.end());
    json::Object plan;
    plan.set("urls", std::move(urls));
    graph.observe(run(n), "t", call("plan"), Output::make(json::Value(std::move(plan))));
    for (const json::Value& url : order) {
      for (bool has_failed = true; has_failed;) {
        json::Object input;
        input.set("url", *url.string());
        const Call get = Call::make("get", std::move(input));
        const std::vector<Prediction> made = graph.predict(run(n), {});
        asked += n > 150 ? 1 : 0;
        right += n > 150 && !made.empty() && made.front().call == get ? 1 : 0;
        has_failed = prng.below(3) == 0;
        json::Object output;
        output.set(has_failed ? "error" : "etag",
                   has_failed ? "timeout" : std::to_string(prng.next()));
        graph.observe(run(n), "t", get, Output::make(json::Value(std::move(output))));
      }
    }
    graph.end(run(n));
  }
  return right / asked;
}

}  // namespace

TEST_CASE("an answer tells whether its call is made again", "[prediction_graph]") {
  PredictionSettings without;
  without.without = Idea::made_again;
  const double right = share_of_retries({});
  CHECK(right >= 0.9);
  CHECK(right >= share_of_retries(without) + 0.03);
}
