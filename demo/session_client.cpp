#include "demo/session_client.hpp"

#include <utility>

#include "base/assert.hpp"
#include "demo/http_retry.hpp"
#include "speculation/client_api.hpp"

namespace forerun {
namespace {

class HttpSessionClient : public SessionClient {
public:
  HttpSessionClient(std::string base_url, const HttpLimits& limits)
      : http_(std::move(base_url), limits) {}

  Result<std::string> open(const SessionToOpen& session) override {
    json::Object body;
    body.set("context", session.context);
    body.set("speculation", session.speculation);
    if (!session.world.empty()) {
      body.set("world", session.world);
    }
    if (!session.run_id.empty()) {
      body.set("run_id", session.run_id);
    }
    if (!session.state.empty()) {
      auto state = json::parse(session.state);
      if (!state) {
        return fail(state.error().code, "open a session: state: " + state.error().message);
      }
      body.set("state", std::move(*state));
    }
    const std::string text = json::canonical(json::Value(std::move(body)));
    const auto answer = ask_again("open a session", !session.idempotency_key.empty(), [&] {
      return http_.post("/v1/sessions", text, session.idempotency_key);
    });
    if (!answer) {
      return tl::unexpected(answer.error());
    }
    const json::Value* run_id = answer->body.find("run_id");
    if (run_id == nullptr || run_id->string() == nullptr) {
      return fail(Errc::invalid, "open a session: the answer has no \"run_id\"");
    }
    return *run_id->string();
  }

  Result<void> add_text(const std::string& run_id, const std::string& text) override {
    json::Object body;
    body.set("text", text);
    const std::string bytes = json::canonical(json::Value(std::move(body)));
    // Without a key a text could be added twice: a cut connection is not asked again.
    return without_body(ask_again("text for " + run_id, false,
                                  [&] { return http_.post(path(run_id, "/text"), bytes); }));
  }

  Result<std::vector<StepResult>> confirm(const std::string& run_id, const std::vector<Call>& calls,
                                          std::uint32_t expect_step,
                                          const std::string& idempotency_key) override {
    FORERUN_ASSERT(!calls.empty() && calls.size() <= calls_per_request_max);
    const std::string place = "step " + std::to_string(expect_step) + " of " + run_id;
    const std::string body = confirm_body(calls, expect_step);
    const auto answer = ask_again(place, !idempotency_key.empty(), [&] {
      return http_.post(path(run_id, "/steps"), body, idempotency_key);
    });
    if (!answer) {
      return tl::unexpected(answer.error());
    }
    return read_steps(place, answer->body, calls.size());
  }

  Result<void> end(const std::string& run_id) override {
    return without_body(
        ask_again("end of " + run_id, true, [&] { return http_.del(path(run_id, "")); }));
  }

  Result<json::Value> status() override {
    auto answer = ask_again("status", true, [&] { return http_.get("/v1/status"); });
    if (!answer) {
      return tl::unexpected(answer.error());
    }
    return std::move(answer->body);
  }

private:
  static std::string path(const std::string& run_id, std::string_view rest) {
    return "/v1/sessions/" + run_id + std::string(rest);
  }

  static Result<void> without_body(const Result<HttpAnswer>& answer) {
    if (!answer) {
      return tl::unexpected(answer.error());
    }
    return {};
  }

  static Result<std::vector<StepResult>> read_steps(const std::string& place,
                                                    const json::Value& body, std::size_t count) {
    std::vector<StepResult> results;
    const json::Value* list = body.find("steps");
    const json::Array* steps = list != nullptr ? list->array() : nullptr;
    for (std::size_t i = 0; i < (steps != nullptr ? steps->size() : 1); ++i) {
      auto step = read_step_result(steps != nullptr ? (*steps)[i] : body);
      if (!step) {
        return fail(Errc::invalid, place + ": " + step.error().message);
      }
      results.push_back(std::move(*step));
    }
    if (results.size() != count) {
      return fail(Errc::invalid, place + ": " + std::to_string(results.size()) +
                                     " steps answered, expected " + std::to_string(count));
    }
    return results;
  }

  HttpClient http_;
};

}  // namespace

std::unique_ptr<SessionClient> make_http_session_client(std::string base_url,
                                                        const HttpLimits& limits) {
  return std::make_unique<HttpSessionClient>(std::move(base_url), limits);
}

std::string confirm_body(const std::vector<Call>& calls, std::uint32_t expect_step) {
  json::Object body;
  body.set("expect_step", static_cast<std::uint64_t>(expect_step));
  if (calls.size() == 1) {
    body.set("task", calls.front().task());
    body.set("input", calls.front().input());
    return json::canonical(json::Value(std::move(body)));
  }
  json::Array list;
  for (const Call& call : calls) {
    json::Object entry;
    entry.set("task", call.task());
    entry.set("input", call.input());
    list.emplace_back(std::move(entry));
  }
  body.set("calls", std::move(list));
  return json::canonical(json::Value(std::move(body)));
}

Result<StepResult> read_step_result(const json::Value& value) {
  const auto text = [&value](std::string_view name) -> const std::string* {
    const json::Value* member = value.find(name);
    return member == nullptr ? nullptr : member->string();
  };
  const json::Value* step = value.find("step");
  const json::Value* output = value.find("output");
  const json::Value* saved = value.find("saved_ms");
  const std::string* status = text("status");
  const std::string* origin = text("origin");
  const std::string* hash = text("decision_hash");
  if (step == nullptr || step->number() == nullptr) {
    return fail(Errc::invalid, "the step has no \"step\"");
  }
  if (status == nullptr || (*status != "ok" && *status != "failed")) {
    return fail(Errc::invalid, "the step has no \"status\" of ok or failed");
  }
  if (output == nullptr || origin == nullptr || hash == nullptr) {
    return fail(Errc::invalid, "the step lacks \"output\", \"origin\" or \"decision_hash\"");
  }
  StepResult result;
  result.step = static_cast<std::uint32_t>(*step->number());
  result.failed = *status == "failed";
  result.output = json::canonical(*output);
  result.origin = *origin;
  result.decision_hash = *hash;
  if (saved != nullptr && saved->number() != nullptr) {
    result.saved_ms = *saved->number();
  }
  return result;
}

}  // namespace forerun
