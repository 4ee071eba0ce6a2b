#include "gateway/render.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

#include "base/hex.hpp"
#include "base/json.hpp"

namespace forerun {
namespace {

constexpr std::string_view json_type = "application/json";
constexpr std::string_view problem_type = "application/problem+json";

bool is_continuation(char c) {
  return (static_cast<std::uint8_t>(c) & 0xC0U) == 0x80U;
}

/// The length of the UTF-8 sequence at the start of `text`, or 0 where there is none (RFC 3629).
std::size_t sequence_length(std::string_view text) {
  const auto lead = static_cast<std::uint8_t>(text.front());
  if (lead < 0x80) {
    return 1;
  }
  const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  if (length == 0 || text.size() < length ||
      !std::all_of(text.begin() + 1, text.begin() + static_cast<std::ptrdiff_t>(length),
                   is_continuation)) {
    return 0;
  }
  const auto second = static_cast<std::uint8_t>(text[1]);
  const bool is_outside = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                          (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
  return is_outside ? 0 : length;
}

/// Causes and details may quote what a process or a client wrote: any bytes.
std::string as_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

void append_text(std::string& out, std::string_view text) {
  json::append_string(out, as_utf8(text));
}

void append_name(std::string& out, std::string_view name) {
  out += out.back() == '{' ? "\"" : ",\"";
  out += name;
  out += "\":";
}
void append_member(std::string& out, std::string_view name, std::string_view text) {
  append_name(out, name);
  append_text(out, text);
}
void append_member(std::string& out, std::string_view name, std::uint64_t number) {
  append_name(out, name);
  out += std::to_string(number);
}
void append_member(std::string& out, std::string_view name, bool flag) {
  append_name(out, name);
  out += flag ? "true" : "false";
}
void append_member(std::string& out, std::string_view name, double number) {
  append_name(out, name);
  json::append_number(out, number);
}

/// A list's items, separated by commas.
template <class Items, class Append>
void append_list(std::string& out, const Items& items, Append append) {
  out.push_back('[');
  bool is_first = true;
  for (const auto& item : items) {
    if (!is_first) {
      out.push_back(',');
    }
    is_first = false;
    append(item);
  }
  out.push_back(']');
}

std::string_view mode_name(SpeculationMode mode) {
  switch (mode) {
    case SpeculationMode::on:
      return "on";
    case SpeculationMode::off:
      return "off";
    case SpeculationMode::shadow:
      return "shadow";
  }
  return "on";
}

void append_step(std::string& out, const StepAnswer& step) {
  const auto append_optional = [&out](const std::optional<std::string>& text) {
    if (text) {
      append_text(out, *text);
    } else {
      out += "null";
    }
  };
  out.push_back('{');
  append_member(out, "run_id", to_string(step.run_id));
  append_member(out, "step", std::uint64_t{step.step});
  append_member(out, "task", step.task);
  append_member(out, "status", std::string_view(step.failed ? "failed" : "ok"));
  append_name(out, "output");
  out += step.failed || step.output.empty() ? "null" : step.output;
  append_member(out, "origin", to_string(step.origin));
  append_member(out, "saved_ms", milliseconds_of(step.saved));
  append_member(out, "seed", step.seed);
  append_name(out, "winner");
  append_optional(step.winner);
  append_name(out, "branch_names");
  append_list(out, step.branch_names, [&out](const std::string& name) { append_text(out, name); });
  append_name(out, "causes");
  append_list(out, step.causes, append_optional);
  append_member(out, "decision_hash", to_hex(step.decision_hash));
  append_member(out, "seq", step.seq.value);
  if (step.confidence) {
    append_member(out, "confidence", *step.confidence);
  } else {
    append_name(out, "confidence");
    out += "null";
  }
  out.push_back('}');
}

void append_steps(std::string& out, const std::vector<StepAnswer>& steps) {
  append_name(out, "steps");
  append_list(out, steps, [&out](const StepAnswer& step) { append_step(out, step); });
}

RenderedAnswer on(const SessionOpened& opened) {
  const std::string run_id = to_string(opened.run_id);
  RenderedAnswer answer{.status = 201,
                        .content_type = json_type,
                        .fields = "Location: /v1/sessions/" + run_id + "\r\n",
                        .body = "{"};
  append_member(answer.body, "run_id", run_id);
  answer.body.push_back('}');
  return answer;
}

RenderedAnswer on(const TextAdded&) {
  return {.status = 204, .content_type = {}, .fields = {}, .body = {}};
}

RenderedAnswer on(const StepAnswers& answers) {
  RenderedAnswer answer{.status = 200, .content_type = json_type, .fields = {}, .body = {}};
  if (!answers.is_list && answers.steps.size() == 1) {
    append_step(answer.body, answers.steps.front());
    return answer;
  }
  answer.body.push_back('{');
  append_steps(answer.body, answers.steps);
  answer.body.push_back('}');
  return answer;
}

RenderedAnswer on(const SessionView& view) {
  RenderedAnswer answer{.status = 200, .content_type = json_type, .fields = {}, .body = "{"};
  append_member(answer.body, "run_id", to_string(view.run_id));
  append_member(answer.body, "context", view.context);
  append_member(answer.body, "speculation", mode_name(view.mode));
  append_member(answer.body, "ended", view.ended);
  append_member(answer.body, "next_step", std::uint64_t{view.next_step});
  append_name(answer.body, "state");
  answer.body += view.state.empty() ? "{}" : view.state;
  append_member(answer.body, "first", std::uint64_t{view.first});
  append_steps(answer.body, view.steps);
  answer.body.push_back('}');
  return answer;
}

RenderedAnswer on(const SessionEnded& ended) {
  RenderedAnswer answer{.status = 200, .content_type = json_type, .fields = {}, .body = "{"};
  append_member(answer.body, "run_id", to_string(ended.run_id));
  append_member(answer.body, "steps", std::uint64_t{ended.steps});
  answer.body.push_back('}');
  return answer;
}

RenderedAnswer on(const JsonReport& report) {
  return {
      .status = 200, .content_type = json_type, .fields = {}, .body = json::canonical(report.body)};
}

/// Leaves and what lies beside them as texts: what is hashed is bytes, so they must arrive as they
/// are.
RenderedAnswer on(const LedgerPage& page) {
  RenderedAnswer answer{.status = 200, .content_type = json_type, .fields = {}, .body = "{"};
  append_name(answer.body, "entries");
  append_list(answer.body, page.rows, [&answer](const LedgerPage::Row& row) {
    answer.body.push_back('{');
    append_member(answer.body, "leaf", row.leaf);
    append_member(answer.body, "call", row.call);
    append_member(answer.body, "output", row.output);
    append_member(answer.body, "writes", row.writes);
    append_member(answer.body, "effects", row.effects);
    answer.body.push_back('}');
  });
  append_member(answer.body, "first", page.first.value);
  append_name(answer.body, "head");
  answer.body += head_json(page.head);
  answer.body.push_back('}');
  return answer;
}

RenderedAnswer on(const RequestFailed& failed) {
  Problem problem{.status = 400, .name = "invalid-request", .detail = failed.message};
  const auto become = [&problem](unsigned status, std::string_view name) {
    problem.status = status;
    problem.name = name;
  };
  switch (failed.refusal) {
    case Refusal::invalid:
      break;
    case Refusal::not_found:
      become(404, "not-found");
      break;
    case Refusal::conflict:
      become(409, "conflict");
      break;
    case Refusal::key_reused:
      become(422, "key-reused");
      break;
    case Refusal::gone:
      become(410, "gone");
      break;
    case Refusal::too_large:
      become(413, "too-large");
      break;
    case Refusal::overloaded:
      become(503, "overloaded");
      problem.retry_after = failed.retry_after;
      break;
    case Refusal::not_ready:
      become(503, "not-ready");
      problem.retry_after = failed.retry_after;
      break;
  }
  return render(problem);
}

/// What a status means for people; also a problem's title.
std::string_view phrase_of(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Unknown";
  }
}

/// Whole seconds, rounded up: asking earlier would be refused again.
std::uint64_t retry_seconds(Duration after) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(after).count();
  return seconds < 1 ? 1 : static_cast<std::uint64_t>(seconds);
}

}  // namespace

RenderedAnswer render(const ResponseBody& body) {
  return std::visit([](const auto& kind) { return on(kind); }, body);
}

RenderedAnswer render(const Problem& problem) {
  RenderedAnswer answer{
      .status = problem.status, .content_type = problem_type, .fields = {}, .body = "{"};
  append_member(answer.body, "type", "https://forerun.dev/problems/" + std::string(problem.name));
  append_member(answer.body, "title", phrase_of(problem.status));
  append_member(answer.body, "status", std::uint64_t{problem.status});
  append_member(answer.body, "detail",
                std::string_view(problem.detail).substr(0, detail_bytes_max));
  answer.body.push_back('}');
  if (!problem.allow.empty()) {
    answer.fields += "Allow: " + std::string(problem.allow) + "\r\n";
  }
  if (problem.status == 401) {  // RFC 9110 §15.5.2
    answer.fields += "WWW-Authenticate: Bearer realm=\"forerun\"\r\n";
  }
  if (problem.retry_after) {
    answer.fields += "Retry-After: " + std::to_string(retry_seconds(*problem.retry_after)) + "\r\n";
  }
  return answer;
}

RenderedAnswer render_health() {
  return {.status = 200, .content_type = json_type, .fields = {}, .body = R"({"ok":true})"};
}

std::string to_wire(const RenderedAnswer& answer, const WireForm& form) {
  constexpr std::size_t head_bytes_usual = 256;
  std::string out;
  out.reserve(head_bytes_usual + answer.fields.size() + answer.body.size());
  out += "HTTP/1.1 ";
  out += std::to_string(answer.status);
  out += " ";
  out += phrase_of(answer.status);
  out += "\r\nDate: ";
  out += form.date;
  if (!answer.content_type.empty()) {
    out += "\r\nContent-Type: ";
    out += answer.content_type;
  }
  if (answer.status != 204) {  // RFC 9110 §8.6: a 204 has no length.
    out += "\r\nContent-Length: ";
    out += std::to_string(answer.body.size());
  }
  if (form.connection == WireForm::Connection::close) {
    out += "\r\nConnection: close";
  } else if (form.connection == WireForm::Connection::keep_alive_1_0) {
    out += "\r\nConnection: keep-alive";
  }
  out += "\r\n";
  out += answer.fields;
  out += "\r\n";
  if (!form.omit_body) {
    out += answer.body;
  }
  return out;
}

std::string http_date(std::chrono::sys_seconds time) {
  static constexpr std::array<const char*, 7> days = {"Sun", "Mon", "Tue", "Wed",
                                                      "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::array<char, 64> text{};
  const int size = std::snprintf(
      text.data(), text.size(), "%s, %02u %s %04d %02d:%02d:%02d GMT",
      days[std::chrono::weekday(day).c_encoding()], static_cast<unsigned>(date.day()),
      months[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()));
  return std::string(text.data(), static_cast<std::size_t>(size));
}

}  // namespace forerun
