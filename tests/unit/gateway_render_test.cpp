#include <catch2/catch.hpp>

#include "gateway/render.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

const RunId run_id = *RunId::parse("8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17");

StepAnswer step() {
  StepAnswer answer;
  answer.run_id = run_id;
  answer.step = 2;
  answer.task = "fraud";
  answer.output = R"({"score":1e-7})";
  answer.branch_names = {"fast", "slow"};
  answer.causes = {std::nullopt, std::nullopt};
  answer.winner = "fast";
  answer.origin = Origin::late_hit;
  answer.saved = std::chrono::microseconds(1500);
  answer.seed = "00ff00ff00ff00ff";
  answer.seq = Seq{9};
  answer.confidence = 0.75;
  return answer;
}

RenderedAnswer refused(Refusal refusal, Duration retry_after = {}) {
  return render(RequestFailed{refusal, "because", retry_after});
}

}  // namespace

TEST_CASE("a step is written as documented, its output spliced in", "[gateway]") {
  const RenderedAnswer answer = render(StepAnswers{{step()}, false});
  CHECK(answer.status == 200);
  CHECK(
      answer.body ==
      R"({"run_id":"8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17","step":2,"task":"fraud","status":"ok",)"
      R"("output":{"score":1e-7},"origin":"late_hit","saved_ms":1.5,"seed":"00ff00ff00ff00ff",)"
      R"("winner":"fast","branch_names":["fast","slow"],"causes":[null,null],"decision_hash":")" +
          std::string(64, '0') + R"(","seq":9,"confidence":0.75})");
}

TEST_CASE("a failed step is an answer with causes and no output", "[gateway]") {
  StepAnswer failed = step();
  failed.failed = true;
  failed.output.clear();
  failed.winner.reset();
  failed.confidence.reset();
  failed.causes = {"exit 3: \xFF\xC3\xA4\n", "timeout"};
  const RenderedAnswer answer = render(StepAnswers{{failed}, false});
  CHECK(answer.status == 200);
  CHECK_THAT(answer.body,
             Contains(R"("status":"failed","output":null)") && Contains(R"("winner":null)") &&
                 Contains(R"("confidence":null)") &&
                 Contains("\"causes\":[\"exit 3: \xEF\xBF\xBD\xC3\xA4\\n\",\"timeout\"]"));
  CHECK(json::parse(answer.body));
}

TEST_CASE("a list is answered with a list", "[gateway]") {
  const auto two = json::parse(render(StepAnswers{{step(), step()}, true}).body);
  REQUIRE(two);
  CHECK(two->find("steps")->array()->size() == 2);
  const auto one = json::parse(render(StepAnswers{{step()}, true}).body);
  REQUIRE(one);
  CHECK(one->find("steps")->array()->size() == 1);
}

TEST_CASE("sessions are written as documented", "[gateway]") {
  const RenderedAnswer opened = render(SessionOpened{run_id});
  CHECK(opened.status == 201);
  CHECK(opened.body == R"({"run_id":"8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17"})");
  CHECK(opened.fields == "Location: /v1/sessions/8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17\r\n");
  const RenderedAnswer view =
      render(SessionView{run_id, "a \"b\"", SpeculationMode::off, true, 9, 7, {}, {}});
  CHECK(view.body == R"({"run_id":"8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17","context":"a \"b\"",)"
                     R"("speculation":"off","ended":true,"next_step":9,"state":{},"first":7,)"
                     R"("steps":[]})");
  CHECK(render(SessionEnded{run_id, 3}).body ==
        R"({"run_id":"8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17","steps":3})");
  const RenderedAnswer added = render(TextAdded{});
  CHECK(added.status == 204);
  CHECK_THAT(to_wire(added, {.date = "D"}), !Contains("Content-"));
}

TEST_CASE("every refusal has its status and problem", "[gateway]") {
  CHECK(refused(Refusal::invalid).status == 400);
  CHECK(refused(Refusal::not_found).status == 404);
  CHECK(refused(Refusal::conflict).status == 409);
  CHECK(refused(Refusal::gone).status == 410);
  CHECK(refused(Refusal::too_large).status == 413);
  CHECK(refused(Refusal::key_reused).status == 422);
  CHECK(refused(Refusal::key_reused).content_type == "application/problem+json");
  CHECK(refused(Refusal::key_reused).body ==
        R"({"type":"https://forerun.dev/problems/key-reused","title":"Unprocessable Content",)"
        R"("status":422,"detail":"because"})");
}

TEST_CASE("503 says when to ask again, in whole seconds and at least one", "[gateway]") {
  CHECK(refused(Refusal::not_ready).status == 503);
  CHECK(refused(Refusal::not_ready).fields == "Retry-After: 1\r\n");
  CHECK(refused(Refusal::overloaded, std::chrono::milliseconds(2001)).fields ==
        "Retry-After: 3\r\n");
}

TEST_CASE("a long detail is cut and stays JSON", "[gateway]") {
  std::string detail(detail_bytes_max - 1, 'a');
  detail += "\xC3\xA4\xC3\xA4";
  const auto body = json::parse(render(Problem{.detail = detail}).body);
  REQUIRE(body);
  CHECK(body->find("detail")->string()->size() <= detail_bytes_max + 2);
}

TEST_CASE("a response carries length, date and what becomes of the connection", "[gateway]") {
  const RenderedAnswer health = render_health();
  CHECK(to_wire(health, {.date = "D"}) ==
        "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"
        "{\"ok\":true}");
  CHECK_THAT(to_wire(health, {.connection = WireForm::Connection::close, .date = "D"}),
             Contains("\r\nConnection: close\r\n"));
  const std::string head = to_wire(health, {.omit_body = true, .date = "D"});
  CHECK_THAT(head, Contains("Content-Length: 11") && Catch::Matchers::EndsWith("\r\n\r\n"));
}

TEST_CASE("a date is written as HTTP wants it", "[gateway]") {
  using namespace std::chrono;
  CHECK(http_date(sys_seconds(seconds(784111777))) == "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST_CASE("a page of the ledger gives leaves and what lies beside them as texts, and the head",
          "[gateway]") {
  const SignedHead head =
      sign_head(SigningKey::from_seed({1}), LedgerHead{9, sha256("root"), Epoch{2}});
  const RenderedAnswer answer =
      render(LedgerPage{Seq{7}, {{R"({"seq":7})", R"({"input":{}})", "", R"({"x":1})", ""}}, head});
  CHECK(answer.status == 200);
  CHECK(
      answer.body ==
      R"({"entries":[{"leaf":"{\"seq\":7}","call":"{\"input\":{}}","output":"","writes":"{\"x\":1}","effects":""}],"first":7,"head":)" +
          head_json(head) + "}");
}
