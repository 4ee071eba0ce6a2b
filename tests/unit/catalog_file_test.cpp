#include "files/catalog_file.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>

#include "base/uuid.hpp"

using namespace forerun;
using Catch::Matchers::Contains;
using Catch::Matchers::Equals;

namespace {

std::string problem_of(std::string_view text) {
  const Result<Catalog> catalog = parse_catalog(text, "c.toml");
  return catalog ? "none" : catalog.error().message;
}

}  // namespace

TEST_CASE("a catalog file gives its tasks, races and pools with every key", "[files]") {
  const Result<Catalog> catalog = parse_catalog(R"(
[pool.llm]
max_in_flight = 10
[task.order_lookup]
executor = "exec"
command = ["python3", "lookup.py"]
effect = "read"
reads = ["order/{order_id}"]
scope = "session"
timeout_ms = 2000
max_age_ms = 1500.5
deterministic = false
sandbox = false
pool = "llm"
description = "Finds an order"
example = '{"order_id":"A-17"}'
next = ["refund", "even"]
starts = true
[task.refund]
executor = "exec"
command = ["./refund"]
sandbox = false
writes = []
reads = ["order/{order_id}"]
idempotent = true
[task.fraud_fast]
executor = "native"
effect = "pure"
[task.fraud_llm]
executor = "native"
function = "llm::score"
effect = "pure"
[task."Buses.FindBus"]
executor = "world"
effect = "read"
[race.fraud]
branches = ["fraud_fast", "fraud_llm"]
select = "ordered"
valid = [
  { branch = "fraud_fast", pointer = "/confidence", at_least = 0.9 },
  { branch = "fraud_fast", pointer = "/a~1b", at_most = 3 },
  { branch = "fraud_fast", pointer = "", equals = { score = [1, "x", true] } },
  { branch = "fraud_llm", pointer = "/label", one_of = ["ok", 2] },
  { branch = "fraud_llm", pointer = "/why", exists = false },
]
[race.even]
branches = ["fraud_llm", "fraud_fast"]
next = []
)",
                                                "c.toml");
  REQUIRE(catalog);
  const Task& lookup = *catalog->task("order_lookup");
  CHECK(lookup.executor == ExecutorKind::exec);
  CHECK(lookup.command == std::vector<std::string>{"python3", "lookup.py"});
  CHECK(lookup.effect == Effect::read);
  CHECK(lookup.reads == std::vector<std::string>{"order/{order_id}"});
  CHECK_FALSE(lookup.writes);
  CHECK(lookup.scope == HazardScope::session);
  CHECK(lookup.timeout == std::chrono::seconds(2));
  CHECK(lookup.age_max == Duration(1'500'500));
  CHECK_FALSE(lookup.deterministic);
  CHECK_FALSE(lookup.sandbox);
  CHECK(lookup.pool == "llm");
  CHECK(lookup.description == "Finds an order");
  CHECK(lookup.example == *json::parse(R"({"order_id":"A-17"})")->object());
  CHECK(lookup.flow.next == std::vector<std::string>{"refund", "even"});
  CHECK(lookup.flow.starts);
  CHECK(catalog->races().at("even").flow.next == std::vector<std::string>());
  CHECK_FALSE(catalog->races().at("even").flow.starts);
  CHECK_FALSE(catalog->task("refund")->flow.next);
  const Task& refund = *catalog->task("refund");
  CHECK(refund.effect == Effect::write);
  CHECK(refund.idempotent);
  CHECK(refund.writes == std::vector<std::string>());
  CHECK(!refund.timeout);
  CHECK(catalog->task("fraud_fast")->function == "fraud_fast");
  CHECK(catalog->task("fraud_llm")->function == "llm::score");
  CHECK(catalog->task("Buses.FindBus")->executor == ExecutorKind::world);
  CHECK(catalog->pool("llm")->in_flight_max == 10);
  CHECK(catalog->races().at("even").select == SelectRule::ranked);
  const Race& fraud = catalog->races().at("fraud");
  CHECK(fraud.branches == std::vector<std::string>{"fraud_fast", "fraud_llm"});
  CHECK(fraud.select == SelectRule::ordered);
  REQUIRE(fraud.valid.size() == 5);
  CHECK(fraud.valid[0].test == ValidCondition::Test::at_least);
  CHECK(fraud.valid[0].operand == json::Value(0.9));
  CHECK(fraud.valid[1].pointer == "/a~1b");
  CHECK(fraud.valid[2].operand == *json::parse(R"({"score": [1, "x", true]})"));
  CHECK(fraud.valid[3].operand == *json::parse(R"(["ok", 2])"));
  CHECK(fraud.valid[4].operand == json::Value(false));
}

TEST_CASE("an empty catalog file is a catalog without tasks", "[files]") {
  CHECK(parse_catalog("", "c.toml")->tasks().empty());
}

TEST_CASE("an unknown key is refused with its line and the key that was meant", "[files]") {
  CHECK_THAT(problem_of("[task.a]\nexecutor = \"world\"\ntimout_ms = 5\n"),
             Equals("c.toml:3: task.a.timout_ms: unknown key; did you mean \"timeout_ms\"?"));
  CHECK_THAT(problem_of("[tasks.a]\n"),
             Contains("c.toml:1: tasks: unknown key; did you mean \"task\"?"));
  CHECK_THAT(problem_of("[race.r]\nbranchs = []\n"), Contains("did you mean \"branches\"?"));
  CHECK_THAT(problem_of("[pool.p]\nzzz = 1\nmax_in_flight = 1\n"),
             Contains("c.toml:2: pool.p.zzz: unknown key, expected one of max_in_flight"));
  CHECK_THAT(problem_of("[task.Buses.FindBus]\nexecutor = \"world\"\n"),
             Contains("task.Buses.FindBus: unknown table; a name with a dot needs quotes: "
                      "[task.\"Buses.FindBus\"]"));
}

TEST_CASE("every problem of a catalog file is told at once, in the file's order", "[files]") {
  const std::string problem = problem_of(R"([race.r]
branches = ["a", "nobody"]
select = "fastest"
[race.s]
branches = ["a", "nobody"]
[task.a]
executor = "world"
effect = "pur"
[task.b]
executor = "exec"
timeout_ms = "soon"
[task.c]
executor = "exec"
command = ["x"]
sandbox = false
network = true
[task.d]
executor = "world"
effect = "pure"
[race.t]
branches = ["d", "nobody"]
)");
  CHECK_THAT(problem, Contains("c.toml:3: race.r.select: \"fastest\""));
  CHECK_THAT(problem, Contains("c.toml:8: task.a.effect: \"pur\"; did you mean \"pure\"?"));
  CHECK_THAT(problem,
             Contains("c.toml:11: task.b.timeout_ms: a text, expected a number of milliseconds"));
  CHECK_THAT(problem, Contains("c.toml:16: task.c.network: only a sandbox has it"));
  CHECK_THAT(problem, Contains("c.toml:21: race.t"));
  // r and s name a task that could not be read: nothing more can be said of them.
  CHECK_THAT(problem, !Contains("race.s"));
  CHECK(std::count(problem.begin(), problem.end(), '\n') == 4);
  CHECK(problem.find("c.toml:3:") < problem.find("c.toml:8:"));
}

TEST_CASE("of very many problems the first twenty are told and the rest counted", "[files]") {
  std::string text;
  for (int i = 0; i < 30; ++i) {
    text += "[pool.p" + std::to_string(i) + "]\n";
  }
  const std::string problem = problem_of(text);
  CHECK(std::count(problem.begin(), problem.end(), '\n') == 20);
  CHECK_THAT(problem, Contains("pool.p0:") && Contains("\nand 10 more"));
}

TEST_CASE("a key that would have no effect is refused", "[files]") {
  const auto task = [](const std::string& keys) {
    return problem_of("[task.a]\nexecutor = \"world\"\n" + keys);
  };
  CHECK_THAT(task("effect = \"pure\"\nreads = []"),
             Contains("c.toml:4: task.a.reads: a pure task reads nothing"));
  CHECK_THAT(task("effect = \"pure\"\nscope = \"session\""), Contains("task.a.scope"));
  CHECK_THAT(task("effect = \"read\"\nwrites = []"), Contains("task.a.writes"));
  CHECK_THAT(task("effect = \"read\"\nidempotent = true"), Contains("task.a.idempotent"));
  CHECK_THAT(task("max_age_ms = 10"), Contains("task.a.max_age_ms"));
  CHECK_THAT(task("command = [\"x\"]"), Contains("task.a.command"));
  CHECK_THAT(task("function = \"f\""), Contains("task.a.function"));
  CHECK_THAT(task("sandbox = false"), Contains("task.a.sandbox"));
}

TEST_CASE("what a later version brings is refused as such", "[files]") {
  CHECK_THAT(problem_of("[task.a]\nexecutor = \"mcp\"\nserver = \"x\"\n"),
             Equals("c.toml:2: task.a.executor: \"mcp\" comes in a later version, expected one of "
                    "native, exec, http, world"));
}

TEST_CASE("a request is read with all that it may say", "[files]") {
  const auto catalog = parse_catalog(R"([task.score]
executor = "http"
effect = "read"
url = "https://models.example/v1/score?q=${input:/q}"
method = "PUT"
headers = { Authorization = "Bearer ${env:KEY}" }
answer = "/result"
answer_is_json = true
answer_kb = 10
retries = 0
ca_file = "ca.pem"
stream = true
[task.score.body]
order = "${input:/order}"
top = 3
)",
                                     "c.toml");
  REQUIRE(catalog);
  const HttpSettings& http = catalog->task("score")->http;
  CHECK(http.url == "https://models.example/v1/score?q=${input:/q}");
  CHECK(http.method == "PUT");
  CHECK(http.headers.at("Authorization") == "Bearer ${env:KEY}");
  CHECK(json::canonical(*http.body) == R"({"order":"${input:/order}","top":3})");
  CHECK(http.answer == "/result");
  CHECK(http.answer_is_json);
  CHECK(http.answer_kb == 10);
  CHECK(http.retries == 0);
  CHECK(http.ca_file == "ca.pem");
  CHECK(http.stream == HttpStream::events);
  CHECK(catalog->task("score")->deterministic);
  const auto sent = Catalog::from_json(catalog->to_json());
  REQUIRE(sent);
  CHECK(sent->task("score")->http == http);
}

TEST_CASE("a template says what an OpenAI-compatible endpoint gets", "[files]") {
  const auto catalog = parse_catalog(R"([task.chat]
executor = "http"
effect = "pure"
template = "openai-chat"
url = "https://models.example/v1/?api=2"
model = "small"
system = "Be brief."
prompt = "Say ${input:/what}"
stream = true
body = { temperature = 0, model = "other" }
[task.fill]
executor = "http"
effect = "pure"
template = "openai-completions"
url = "https://models.example/v1"
answer = ""
deterministic = true
)",
                                     "c.toml");
  REQUIRE(catalog);
  const Task& chat = *catalog->task("chat");
  CHECK(chat.http.url == "https://models.example/v1/chat/completions?api=2");
  CHECK(
      json::canonical(*chat.http.body) ==
      R"({"messages":[{"content":"Be brief.","role":"system"},{"content":"Say ${input:/what}","role":"user"}],)"
      R"("model":"other","stream":true,"temperature":0})");
  CHECK(chat.http.answer == "/choices/0/message/content");
  CHECK(chat.http.stream == HttpStream::chat);
  CHECK_FALSE(chat.deterministic);
  const Task& fill = *catalog->task("fill");
  CHECK(fill.http.url == "https://models.example/v1/completions");
  CHECK(json::canonical(*fill.http.body) == R"({"prompt":"${input:/prompt}"})");
  CHECK(fill.http.answer == "/choices/0/text");
  CHECK(fill.deterministic);
}

TEST_CASE("a request that cannot be meant is refused with its line", "[files]") {
  const auto problem = [](const std::string& rest) {
    return problem_of("[task.a]\nexecutor = \"http\"\n" + rest);
  };
  CHECK(problem("effect = \"read\"\n") == "c.toml:1: task.a: no url, expected one");
  CHECK_THAT(problem("url = \"ftp://h/\""),
             Equals("c.toml:3: task.a.url: \"ftp://h/\", expected an http or https URL of at most "
                    "2048 bytes, without user, fragment or dot segments"));
  CHECK_THAT(problem("url = \"https://${input:/host}/x\""),
             Contains("a call must not choose the host"));
  CHECK_THAT(problem("url = \"https://h${input:/port}/x\""),
             Contains("a call must not choose the host"));
  CHECK(
      parse_catalog("[task.a]\nexecutor = \"http\"\nurl = \"${env:BASE}/v1/${input:/x}\"\n", "c"));
  CHECK_THAT(problem("url = \"http://h/\"\nheaders = { authorization = \"Bearer x\" }"),
             Contains("c.toml:4: task.a.headers.authorization: a secret does not belong into a "
                      "catalog"));
  CHECK_THAT(problem("url = \"http://h/\"\nheaders = { Host = \"x\" }"),
             Contains("it is the node's own"));
  CHECK_THAT(problem("url = \"http://h/\"\nbody = { a = [\"${inputs:/x}\"] }"),
             Contains("c.toml:4: task.a.body.a[0]: ${inputs:/x}, expected ${input:/pointer}"));
  CHECK_THAT(problem("url = \"http://h/${input:x}\""), Contains("expected a JSON pointer"));
  CHECK_THAT(problem("url = \"http://h/${input:/x\""), Contains("no } behind it"));
  CHECK_THAT(problem("url = \"http://h/\"\nmethod = \"FETCH\""), Contains("task.a.method"));
  CHECK_THAT(problem("url = \"http://h/\"\nmethod = \"GET\"\nbody = 1"),
             Contains("task.a.body: a GET has none"));
  CHECK_THAT(problem("url = \"http://h/\"\nanswer = \"x\""), Contains("task.a.answer"));
  CHECK_THAT(problem("url = \"http://h/\"\nretries = 11"), Contains("expected 0 to 10"));
  CHECK_THAT(problem("url = \"http://h/\"\nanswer_kb = 0"), Contains("expected 1 to 65536"));
  CHECK_THAT(problem("url = \"http://h/\"\nmodel = \"m\""),
             Contains("task.a.model: only a template has it"));
  CHECK_THAT(problem("url = \"http://h/\"\ntemplate = \"openai\""),
             Contains("task.a.template: \"openai\", expected one of openai-chat"));
  CHECK_THAT(problem("url = \"http://h/\"\ncommand = [\"x\"]"), Contains("task.a.command"));
  CHECK_THAT(problem_of("[task.a]\ncommand = [\"x\"]\nurl = \"http://h/\"\n"),
             Contains("task.a.url: only executor = \"http\" sends a request"));
}

TEST_CASE("a command's surroundings are read with their limits", "[files]") {
  const auto catalog = parse_catalog(R"([task.a]
command = ["x"]
env = { MODEL = "small", N = "1" }
workdir = "tools"
network = true
readable = ["/srv/models"]
writable = ["/srv/orders"]
memory_mb = 200
processes = 5
file_mb = 6
scratch_mb = 7
cpu_s = 8
output_kb = 9
resident = true
)",
                                     "c.toml");
  REQUIRE(catalog);
  const Task& task = *catalog->task("a");
  CHECK(task.sandbox);
  CHECK(task.exec.environment ==
        std::map<std::string, std::string>{{"MODEL", "small"}, {"N", "1"}});
  CHECK(task.exec.workdir == "tools");
  CHECK(task.exec.network);
  CHECK(task.exec.resident);
  CHECK(task.exec.readable == std::vector<std::string>{"/srv/models"});
  CHECK(task.exec.writable == std::vector<std::string>{"/srv/orders"});
  CHECK(task.exec.limits == CommandLimits{200, 5, 6, 7, 8, 9});
  const auto read = Catalog::from_json(catalog->to_json());
  REQUIRE(read);
  CHECK(read->task("a")->exec == task.exec);
}

TEST_CASE("surroundings that no command can have are refused", "[files]") {
  const auto task = [](const std::string& keys) {
    return problem_of("[task.a]\ncommand = [\"x\"]\n" + keys + "\n");
  };
  CHECK_THAT(task("env = { \"A-B\" = \"x\" }"),
             Contains("c.toml:3: task.a.env: \"A-B\", expected"));
  CHECK_THAT(task("env = { A = 1 }"), Contains("task.a.env.A: a whole number, expected a text"));
  CHECK_THAT(task("workdir = \"../x\""), Contains("c.toml:3: task.a.workdir: \"../x\""));
  CHECK_THAT(task("readable = [\"models\"]"), Contains("expected an absolute path"));
  CHECK_THAT(task("effect = \"read\"\nwritable = [\"/srv\"]"),
             Contains("c.toml:4: task.a.writable: only a task with effect \"write\""));
  CHECK_THAT(task("memory_mb = 1"), Contains("c.toml:3: task.a.memory_mb: 1, expected 16 to"));
  CHECK_THAT(task("output_kb = 2000"), Contains("task.a.output_kb: 2000, expected 1 to 1024"));
  CHECK_THAT(task("sandbox = false\ncpu_s = 1"), Contains("task.a.cpu_s: only a sandbox has it"));
  CHECK_THAT(problem_of("[task.a]\nexecutor = \"world\"\nresident = true\n"),
             Contains("c.toml:3: task.a.resident: only executor"));
}

TEST_CASE("values of the wrong kind or range are refused with what was expected", "[files]") {
  const auto task = [](const std::string& keys) {
    return problem_of("[task.a]\nexecutor = \"world\"\n" + keys);
  };
  CHECK_THAT(task("timeout_ms = 0"),
             Contains("c.toml:3: task.a.timeout_ms: out of range, expected 1 to 86400000"));
  CHECK_THAT(task("timeout_ms = nan"), Contains("out of range"));
  CHECK_THAT(task("deterministic = 1"), Contains("a whole number, expected true or false"));
  CHECK_THAT(task("reads = \"x\""), Contains("a text, expected a list of texts"));
  CHECK_THAT(task("reads = [\n\"x\",\n7]"),
             Contains("c.toml:5: task.a.reads[1]: a whole number, expected a text"));
  CHECK_THAT(task("description = \"a\\u0000b\""), Contains("zero byte"));
  CHECK_THAT(problem_of("[pool.p]\nmax_in_flight = 0\n"),
             Contains("c.toml:2: pool.p.max_in_flight: 0, expected 1 to"));
  CHECK_THAT(problem_of("[pool.p]\n"), Contains("c.toml:1: pool.p: no max_in_flight"));
  CHECK_THAT(problem_of("task = 5\n"),
             Contains("c.toml:1: task: a whole number, expected tables [task.NAME]"));
  CHECK_THAT(problem_of("[[task]]\n"), Contains("a list, expected tables [task.NAME]"));
  CHECK_THAT(problem_of("[task.\"\"]\nexecutor = \"world\"\n"),
             Contains("expected a name of 1 to"));
}

TEST_CASE("a condition has a branch, a pointer and exactly one test", "[files]") {
  const auto race = [](const std::string& condition) {
    return problem_of(
        "[task.a]\nexecutor = \"world\"\neffect = \"pure\"\n[task.b]\nexecutor = \"world\"\neffect "
        "= \"pure\"\n"
        "[race.r]\nbranches = [\"a\", \"b\"]\nvalid = [" +
        condition + "]\n");
  };
  CHECK(race("{ branch = \"a\", pointer = \"\", exists = true }") == "none");
  CHECK_THAT(race("{ pointer = \"\", exists = true }"),
             Contains("c.toml:9: race.r.valid[0]: no branch"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"\" }"), Contains("0 tests, expected exactly one"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"\", at_least = 1, at_most = 2 }"),
             Contains("2 tests"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"x\", exists = true }"),
             Contains("expected a JSON pointer"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"/~2\", exists = true }"),
             Contains("expected a JSON pointer"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"\", at_least = \"1\" }"),
             Contains("a text, expected a number"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"\", at_least = inf }"),
             Contains("expected a finite one"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"\", equals = 9007199254740993 }"),
             Contains("write it as a text"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"\", equals = 2024-05-20 }"),
             Contains("a date or time"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"\", one_of = [] }"), Contains("list of 1 to"));
  CHECK_THAT(race("{ branch = \"a\", pointer = \"\", exist = true }"),
             Contains("did you mean \"exists\"?"));
  CHECK_THAT(race("{ branch = \"c\", pointer = \"\", exists = true }"),
             Contains("c.toml:9: race.r.valid"));
}

TEST_CASE("what does not hold together is told with the line of the key", "[files]") {
  CHECK_THAT(
      problem_of(
          "[task.w]\nexecutor = \"world\"\n[task.p]\nexecutor = \"world\"\neffect = \"pure\"\n"
          "[race.r]\nbranches = [\"p\", \"w\"]\n"),
      Contains("c.toml:7: race.r.branches"));
  CHECK_THAT(
      problem_of(
          "[task.w]\nexecutor = \"world\"\npool = \"model\"\n[pool.models]\nmax_in_flight = 1\n"),
      Contains("c.toml:3: task.w.pool") && Contains("did you mean \"models\"?"));
  CHECK_THAT(problem_of("[task.w]\nexecutor = \"exec\"\nsandbox = false\n"),
             Contains("c.toml:1: task.w.command"));
  CHECK_THAT(problem_of("[task.look]\nexecutor = \"world\"\n\n[task.say]\nexecutor = "
                        "\"world\"\nnext = [\"lok\"]\n"),
             Contains("c.toml:6: task.say.next: no task or race \"lok\"") &&
                 Contains("did you mean \"look\"?"));
  CHECK_THAT(problem_of("[task.a]\nexecutor = \"world\"\nnext = \"a\"\nstarts = 1\n"),
             Contains("c.toml:3: task.a.next: a text, expected a list of texts") &&
                 Contains("c.toml:4: task.a.starts: a whole number, expected true or false"));
}

TEST_CASE("what does not hold together is told for each table, not only for the first", "[files]") {
  const std::string problem = problem_of(
      "[task.a]\nexecutor = \"world\"\neffect = \"pure\"\n[race.r]\nbranches = [\"a\", \"b\"]\n"
      "[race.s]\nbranches = [\"a\"]\n[task.c]\nsandbox = false\n");
  CHECK_THAT(problem, Contains("c.toml:5: race.r.branches: no task \"b\""));
  CHECK_THAT(problem, Contains("c.toml:7: race.s.branches: 1 branches, expected 2"));
  CHECK_THAT(problem, Contains("c.toml:8: task.c.command: empty"));
}

TEST_CASE("a TOML syntax error is told with its line", "[files]") {
  CHECK_THAT(problem_of("[task.a]\nexecutor = \n"), Contains("c.toml:2: TOML: "));
  CHECK_THAT(problem_of("[task.a]\n[task.a]\n"), Contains("c.toml:2: TOML: "));
  CHECK_THAT(problem_of("[task.a]\ndescription = \"\xff\"\n"), Contains("c.toml:2: TOML: "));
  CHECK_THAT(problem_of("x = " + std::string(100'000, '[')), Contains("c.toml:1: TOML: "));
}

TEST_CASE("a catalog is read from its file with the text as it was", "[files]") {
  const auto file = std::filesystem::temp_directory_path() / (to_string(Uuid::random()) + ".toml");
  const std::string text = "# mine\n[task.a]\nexecutor = \"world\"\n";
  std::ofstream(file) << text;
  const Result<CatalogFile> read = read_catalog(file);
  std::filesystem::remove(file);
  REQUIRE(read);
  CHECK(read->text == text);
  CHECK(read->catalog.task("a") != nullptr);
  CHECK(read_catalog(file).error().code == Errc::not_found);
  CHECK(parse_catalog(std::string(catalog_bytes_max + 1, ' '), "c.toml").error().code ==
        Errc::too_large);
}

TEST_CASE("the example of the reference is a catalog", "[files]") {
  std::ifstream in(std::string(FORERUN_DOCS) + "/catalog.md");
  const std::string page{std::istreambuf_iterator<char>(in), {}};
  const std::string fence = "```toml\n";
  const std::size_t begin = page.find(fence) + fence.size();
  const auto catalog = parse_catalog(page.substr(begin, page.find("```", begin) - begin), "docs");
  REQUIRE(catalog);
  CHECK(catalog->plan("fraud")->tasks.size() == 2);
}
