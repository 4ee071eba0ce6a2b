#include "simulation/operator.hpp"

#include <iterator>
#include <variant>

namespace forerun::simulation {
namespace {

constexpr std::uint64_t requests_from = 900'000'000;  ///< Beyond every client's.
constexpr std::uint32_t sample_max = 4;

std::string text_of(const json::Value& value, std::string_view name) {
  const json::Value* found = value.find(name);
  return found == nullptr || found->string() == nullptr ? std::string() : *found->string();
}

std::uint64_t number_of(const json::Value& value, std::string_view name) {
  const json::Value* found = value.find(name);
  return found == nullptr || found->number() == nullptr
             ? 0
             : static_cast<std::uint64_t>(*found->number());
}

}  // namespace

void Operator::plan() {
  env_.time.after(env_.between(std::chrono::milliseconds(50), std::chrono::milliseconds(1500)),
                  [this] {
                    if (!is_stopped_) {
                      ask();
                      plan();
                    }
                  });
}

void Operator::ask() {
  ClientRequest request{RequestId{requests_from + ++requests_}, "operator", {}};
  const std::set<RunId>& sessions = env_.auditor.sessions();
  if (!sessions.empty() && env_.prng.chance(0.5)) {
    request.tenant = client_tenant;
    request.body = ShowSession{*std::next(
        sessions.begin(), static_cast<std::ptrdiff_t>(env_.prng.below(sessions.size())))};
  } else if (env_.prng.chance(0.5)) {
    StartAudit audit;
    audit.sample = static_cast<std::uint32_t>(env_.prng.below(sample_max + 1));
    audit.deadline = env_.between(std::chrono::milliseconds(100), std::chrono::milliseconds(4000));
    request.body = std::move(audit);
  } else {
    request.body = ShowLedger{Seq{env_.prng.below(env_.auditor.size() + 1)},
                              1 + env_.prng.below(ledger_page_entries_max)};
  }
  coordinator_.send(request);
  if (env_.strikes(Fault::leaving_client)) {
    env_.time.after(env_.between(Duration(100), std::chrono::milliseconds(10)),
                    [this, id = request.id] { coordinator_.leave(id); });
  }
}

bool Operator::receive(const ClientResponse& response) {
  if (response.id.value < requests_from) {
    return false;
  }
  if (const auto* page = std::get_if<LedgerPage>(&response.body)) {
    for (std::size_t i = 0; i < page->rows.size(); ++i) {
      env_.auditor.shown(Seq{page->first.value + i}, page->rows[i]);
    }
  } else if (const auto* session = std::get_if<SessionView>(&response.body)) {
    for (const StepAnswer& step : session->steps) {
      env_.auditor.answered(step);
    }
  } else if (const auto* report = std::get_if<JsonReport>(&response.body)) {
    ++audits_;
    judge(report->body);
  } else if (const auto* failed = std::get_if<RequestFailed>(&response.body);
             failed == nullptr || failed->refusal != Refusal::conflict) {
    env_.time.violate(Rule::one_decision,
                      "operator: an answer to nothing");  // One audit runs at a time.
  }
  return true;
}

/// Nodes may be lost or late; what they say must hold, and a step that ran again answers the same.
void Operator::judge(const json::Value& report) {
  for (const json::Value& node : *report.find("nodes")->array()) {
    const std::string problem = text_of(node, "problem");
    if (*node.find("answered")->boolean() && !problem.empty()) {
      env_.time.violate(Rule::one_ledger, "audit: " + text_of(node, "node") + ": " + problem);
    }
  }
  for (const json::Value& step : *report.find("re_executed")->array()) {
    const Seq seq{number_of(step, "seq")};
    const auto expected = env_.auditor.output_hash(seq);
    if (text_of(step, "output_hash") != (expected ? to_hex(*expected) : "")) {
      env_.time.violate(Rule::serial_equivalence,
                        "audit: entry " + to_string(seq) + ": ran again, it answers otherwise");
    }
  }
}

}  // namespace forerun::simulation
