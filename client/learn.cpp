#include "client/learn.hpp"

#include <cmath>
#include <utility>

#include "base/assert.hpp"
#include "speculation/client_api.hpp"
#include "speculation/history.hpp"

namespace forerun {
namespace {

constexpr std::string_view body_start = "{\"sessions\":[";
constexpr std::string_view body_end = "]}";
constexpr Duration poll_interval = std::chrono::milliseconds(50);
constexpr std::size_t progress_every = 20;  ///< Requests.

Result<std::uint64_t> count_of(const json::Value& answer, const char* member) {
  const json::Value* value = answer.find(member);
  if (value == nullptr || value->number() == nullptr || !(*value->number() >= 0)) {
    return fail(Errc::invalid, std::string("learn: the answer has no \"") + member + "\"");
  }
  return static_cast<std::uint64_t>(*value->number());
}

/// Sends bodies and adds up the answers.
class Teaching {
public:
  Teaching(const LearnPorts& ports, LearnReport& report) : ports_(ports), report_(report) {}

  Result<void> send(const std::string& body) {
    const auto answer = ports_.post(body);
    if (!answer) {
      return tl::unexpected(answer.error());
    }
    const auto learned = count_of(*answer, "learned");
    const auto steps = count_of(*answer, "steps");
    const auto known = count_of(*answer, "known");
    for (const auto* count : {&learned, &steps, &known}) {
      if (!*count) {
        return tl::unexpected(count->error());
      }
    }
    report_.learned += *learned;
    report_.learned_steps += *steps;
    report_.known += *known;
    const json::Value* refused = answer->find("refused");
    if (refused != nullptr && refused->array() != nullptr) {
      for (const json::Value& each : *refused->array()) {
        const json::Value* name = each.find("session");
        const json::Value* why = each.find("why");
        refuse(name != nullptr && name->string() != nullptr ? *name->string() : "?",
               why != nullptr && why->string() != nullptr ? *why->string() : "no reason given");
      }
    }
    if (++sent_ % progress_every == 0) {
      ports_.progress(std::to_string(report_.learned + report_.known + report_.refused) + " of " +
                      std::to_string(report_.sessions) + " sessions");
    }
    return {};
  }

  void refuse(const std::string& session, const std::string& why) {
    ++report_.refused;
    ports_.progress("session \"" + session + "\" refused: " + why);
  }

  /// What was sent is kept; now it is learned, a little at a time.
  Result<void> wait() {
    for (Duration waited{};; waited += poll_interval) {
      const auto status = ports_.status();
      if (!status) {
        return tl::unexpected(status.error());
      }
      const json::Value* learning = status->find("learning");
      const auto left =
          learning != nullptr
              ? count_of(*learning, "left")
              : Result<std::uint64_t>(fail(Errc::invalid, "learn: the status has no \"learning\""));
      if (!left) {
        return tl::unexpected(left.error());
      }
      report_.left = *left;
      if (*left == 0 || waited >= learn_wait_max) {
        return {};
      }
      ports_.pause(poll_interval);
    }
  }

private:
  const LearnPorts& ports_;
  LearnReport& report_;
  std::size_t sent_ = 0;
};

}  // namespace

bool HistoryBodies::fits(const std::string& session) const {
  return body_start.size() + session.size() + body_end.size() <= bytes_max_;
}

std::optional<std::string> HistoryBodies::add(const std::string& session) {
  FORERUN_ASSERT(fits(session));
  std::optional<std::string> full;
  if (count_ == history_sessions_per_request_max ||
      body_.size() + 1 + session.size() + body_end.size() > bytes_max_) {
    full = take();
  }
  body_ += count_ == 0 ? body_start : ",";
  body_ += session;
  ++count_;
  return full;
}

std::optional<std::string> HistoryBodies::take() {
  if (count_ == 0) {
    return std::nullopt;
  }
  count_ = 0;
  std::string body = std::exchange(body_, {});
  body += body_end;
  return body;
}

std::string history_text_of(const TraceSession& session) {
  HistorySession history{session.name, session.context, {}};
  history.steps.reserve(session.steps.size());
  for (const TraceStep& step : session.steps) {
    history.steps.push_back({step.texts, step.call, Output::make(step.output)});
  }
  return history_text(history);
}

Result<LearnReport> learn(const std::vector<TraceSession>& sessions, const LearnPorts& ports) {
  LearnReport report;
  report.sessions = sessions.size();
  Teaching teaching(ports, report);
  HistoryBodies bodies;
  for (const TraceSession& session : sessions) {
    report.steps += session.steps.size();
    const std::string text = history_text_of(session);
    if (!bodies.fits(text)) {
      teaching.refuse(session.name, std::to_string(text.size()) + " bytes, expected less than " +
                                        std::to_string(learn_body_bytes_max));
      continue;
    }
    if (const auto full = bodies.add(text)) {
      if (auto sent = teaching.send(*full); !sent) {
        return tl::unexpected(sent.error());
      }
    }
  }
  if (const auto rest = bodies.take()) {
    if (auto sent = teaching.send(*rest); !sent) {
      return tl::unexpected(sent.error());
    }
  }
  if (auto waited = teaching.wait(); !waited) {
    return tl::unexpected(waited.error());
  }
  return report;
}

json::Value to_json(const LearnReport& report) {
  json::Object body;
  body.set("sessions", std::uint64_t{report.sessions});
  body.set("steps", std::uint64_t{report.steps});
  body.set("learned", report.learned);
  body.set("learned_steps", report.learned_steps);
  body.set("known", report.known);
  body.set("refused", report.refused);
  body.set("left", report.left);
  return body;
}

std::string to_text(const LearnReport& report) {
  return "learned " + std::to_string(report.learned) + " of " + std::to_string(report.sessions) +
         " sessions, " + std::to_string(report.learned_steps) + " steps; " +
         std::to_string(report.known) + " known already, " + std::to_string(report.refused) +
         " refused" +
         (report.left > 0 ? "; " + std::to_string(report.left) + " steps are still being learned"
                          : "") +
         "\n";
}

}  // namespace forerun
