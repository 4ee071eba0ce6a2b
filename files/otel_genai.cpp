#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <set>

#include "files/agent_log_parts.hpp"
#include "files/line_reader.hpp"

namespace forerun {
namespace {

/// An OTLP document nests a dozen levels above an attribute's value.
constexpr std::size_t document_depth_max = json::depth_max + 16;

/// OTLP's AnyValue as plain JSON.
json::Value plain(const json::Value& any) {
  if (const json::Value* text = any.find("stringValue")) {
    return *text;
  }
  for (const char* kind : {"boolValue", "doubleValue", "bytesValue"}) {
    if (const json::Value* value = any.find(kind)) {
      return *value;
    }
  }
  if (const json::Value* number = any.find("intValue")) {  // 64 bits: written as a text.
    return number->string() != nullptr ? value_of_text(*number->string()) : *number;
  }
  const auto elements_of = [&any](const char* kind) -> const json::Array* {
    const json::Value* holder = any.find(kind);
    const json::Value* values = holder == nullptr ? nullptr : holder->find("values");
    return values == nullptr ? nullptr : values->array();
  };
  if (any.find("arrayValue") != nullptr) {
    json::Array list;
    if (const json::Array* elements = elements_of("arrayValue")) {
      for (const json::Value& element : *elements) {
        list.push_back(plain(element));
      }
    }
    return list;
  }
  json::Object object;
  if (const json::Array* elements = elements_of("kvlistValue")) {
    for (const json::Value& element : *elements) {
      const json::Value* key = element.find("key");
      const json::Value* value = element.find("value");
      if (key != nullptr && key->string() != nullptr && value != nullptr) {
        object.set(*key->string(), plain(*value));
      }
    }
    return object;
  }
  return {};
}

/// The attribute's value, or null.
json::Value attribute(const json::Value& span, std::string_view name) {
  const json::Value* attributes = span.find("attributes");
  if (attributes != nullptr && attributes->array() != nullptr) {
    for (const json::Value& each : *attributes->array()) {
      const json::Value* key = each.find("key");
      const json::Value* value = each.find("value");
      if (key != nullptr && key->string() != nullptr && *key->string() == name &&
          value != nullptr) {
        return plain(*value);
      }
    }
  }
  return {};
}

json::Value parsed_attribute(const json::Value& span, std::string_view name) {
  json::Value value = attribute(span, name);
  return value.string() != nullptr ? value_of_text(*value.string()) : value;
}

std::string attribute_text(const json::Value& span, std::string_view name) {
  const json::Value* member = span.find(name);
  return member != nullptr && member->string() != nullptr ? *member->string() : std::string();
}

struct Span {
  std::string id, parent;
  std::int64_t start_us = 0, end_us = 0;
  bool is_tool = false;
  std::optional<Call> call;  ///< Empty for a tool: its arguments cannot be read.
  json::Value output;
  std::vector<std::string> said;  ///< By the user, in everything that the model was given.
  std::string context;
};

/// What a list of messages in OpenTelemetry's form says, by role: "" takes parts without a role.
std::vector<std::string> words_in(const json::Value& list, std::string_view role) {
  std::vector<std::string> words;
  if (list.array() == nullptr) {
    return words;
  }
  for (const json::Value& message : *list.array()) {
    if (!role.empty() && attribute_text(message, "role") != role) {
      continue;
    }
    const json::Value* parts = role.empty() ? nullptr : message.find("parts");
    const json::Array alone{message};
    const json::Array* each =
        parts != nullptr && parts->array() != nullptr ? parts->array() : &alone;
    for (const json::Value& part : *each) {
      std::string text = attribute_text(part, "content");
      if (!text.empty()) {
        words.push_back(std::move(text));
      }
    }
  }
  return words;
}

class Spans {
public:
  explicit Spans(AgentLogs& logs) : logs_(logs) {}

  Result<void> add_document(const json::Value& document, const std::string& place) {
    const json::Value* resources = document.find("resourceSpans");
    if (resources == nullptr || resources->array() == nullptr) {
      return fail(Errc::invalid, place + ": resourceSpans: " + std::string(kind_of(resources)) +
                                     ", expected a list (OTLP/JSON traces)");
    }
    std::size_t number = 0;
    for (const json::Value& resource : *resources->array()) {
      const json::Value* scopes = resource.find("scopeSpans");
      if (scopes == nullptr || scopes->array() == nullptr) {
        continue;
      }
      for (const json::Value& scope : *scopes->array()) {
        const json::Value* spans = scope.find("spans");
        if (spans == nullptr || spans->array() == nullptr) {
          continue;
        }
        for (const json::Value& span : *spans->array()) {
          if (auto added = add(span, place + ": span " + std::to_string(number++)); !added) {
            return added;
          }
        }
      }
    }
    return {};
  }

  Result<std::vector<TraceSession>> sessions(const std::string& file, const TraceLimits& limits) {
    std::map<std::string, std::vector<Span*>> by_session;
    for (auto& [trace, spans] : traces_) {
      const auto named = conversations_.find(trace);
      for (Span& span : spans) {
        by_session[named == conversations_.end() ? trace : named->second].push_back(&span);
      }
    }
    std::vector<std::pair<std::int64_t, TraceSession>> found;
    for (auto& [name, spans] : by_session) {
      std::stable_sort(spans.begin(), spans.end(),
                       [](const Span* a, const Span* b) { return a->start_us < b->start_us; });
      TraceSession session = session_of(spans);
      session.name = name;
      session.group = name;
      if (const auto fits = check_session(session, file + ": session \"" + name + "\"", limits);
          !fits) {
        return tl::unexpected(fits.error());
      }
      if (!session.steps.empty()) {
        found.emplace_back(spans.front()->start_us, std::move(session));
      }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<TraceSession> sessions;
    for (auto& [start, session] : found) {
      sessions.push_back(std::move(session));
    }
    return sessions;
  }

private:
  static Result<std::int64_t> moment(const json::Value& span, const char* member,
                                     const std::string& place) {
    // Proto3's JSON has 64-bit numbers as texts, and readers take numbers too.
    constexpr double number_max = 9e18;
    const json::Value* const number = span.find(member);
    if (number != nullptr && number->number() != nullptr && *number->number() >= 0 &&
        *number->number() <= number_max) {
      return static_cast<std::int64_t>(*number->number() / 1000);
    }
    const std::string digits = attribute_text(span, member);
    std::uint64_t nanoseconds = 0;
    const auto [end, problem] =
        std::from_chars(digits.data(), digits.data() + digits.size(), nanoseconds);
    if (digits.empty() || problem != std::errc{} || end != digits.data() + digits.size()) {
      const json::Value* found = span.find(member);
      return fail(Errc::invalid,
                  place + ": " + member + ": " +
                      (digits.empty() ? std::string(kind_of(found)) : "\"" + digits + "\"") +
                      ", expected nanoseconds, as a text of digits or a number");
    }
    return static_cast<std::int64_t>(nanoseconds / 1000);
  }

  Result<void> add(const json::Value& from, const std::string& place) {
    const Result<std::string> trace = name_of(from.find("traceId"), place + ": traceId");
    const Result<std::int64_t> start = moment(from, "startTimeUnixNano", place);
    const Result<std::int64_t> end = moment(from, "endTimeUnixNano", place);
    if (!trace || !start || !end) {
      return tl::unexpected(!trace ? trace.error() : !start ? start.error() : end.error());
    }
    const std::int64_t longest = trace_time_max.count();
    if (*end < *start || *end - *start > longest) {
      return fail(Errc::invalid, place + ": endTimeUnixNano: " + std::to_string(*end - *start) +
                                     " us after the start, expected 0 to " +
                                     std::to_string(longest));
    }
    Span span;
    span.id = attribute_text(from, "spanId");
    span.parent = attribute_text(from, "parentSpanId");
    span.start_us = *start;
    span.end_us = *end;
    const json::Value conversation = attribute(from, "gen_ai.conversation.id");
    if (!conversation.is_null()) {
      const Result<std::string> name = name_of(&conversation, place + ": gen_ai.conversation.id");
      if (!name) {
        return tl::unexpected(name.error());
      }
      conversations_.try_emplace(*trace, *name);
    }
    if (auto read = read_tool(from, place, span); !read) {
      return read;
    }
    if (!span.is_tool) {
      span.said = words_in(parsed_attribute(from, "gen_ai.input.messages"), "user");
      for (const std::string& words :
           words_in(parsed_attribute(from, "gen_ai.system_instructions"), "")) {
        span.context += (span.context.empty() ? "" : "\n") + words;
      }
    }
    traces_[*trace].push_back(std::move(span));
    return {};
  }

  static Result<void> read_tool(const json::Value& from, const std::string& place, Span& span) {
    const json::Value tool = attribute(from, "gen_ai.tool.name");
    if (tool.is_null()) {
      return {};
    }
    const Result<std::string> name = name_of(&tool, place + ": gen_ai.tool.name");
    if (!name) {
      return tl::unexpected(name.error());
    }
    span.is_tool = true;
    if (auto input = arguments_of(attribute(from, "gen_ai.tool.call.arguments"))) {
      span.call = Call::make(*name, std::move(*input));
    }
    span.output = parsed_attribute(from, "gen_ai.tool.call.result");
    if (!fits_output(span.output)) {
      return fail(Errc::too_large,
                  place + ": gen_ai.tool.call.result: larger than an output may be");
    }
    return {};
  }

  /// What a session's spans, sorted by their start, say that happened.
  TraceSession session_of(const std::vector<Span*>& spans) {
    std::map<std::string_view, const Span*> by_id;
    for (const Span* span : spans) {
      by_id.emplace(span->id, span);
    }
    TraceSession session;
    std::map<std::string, std::size_t> heard;
    std::vector<std::string> texts;
    std::int64_t free_from = spans.empty() ? 0 : spans.front()->start_us;  // Thinking begins here.
    std::int64_t busy_until = 0;                                           // Of the calls together.
    for (Span* span : spans) {
      if (!span->is_tool) {
        if (session.context.empty()) {
          session.context = span->context;
        }
        if (hear(span->said, heard, texts)) {
          free_from = std::max(free_from, span->start_us);
        }
        continue;
      }
      if (is_inside_tool(*span, by_id)) {
        continue;
      }
      if (!span->call) {
        ++logs_.unreadable;
        continue;
      }
      const bool beside = !session.steps.empty() && texts.empty() && span->start_us < busy_until;
      const std::int64_t think =
          std::clamp<std::int64_t>(span->start_us - free_from, 0, trace_time_max.count());
      session.steps.push_back({std::move(*span->call), std::move(span->output),
                               Duration(span->end_us - span->start_us),
                               beside ? Duration{} : Duration(think), std::move(texts), beside});
      texts.clear();
      busy_until = std::max(busy_until, span->end_us);
      free_from = busy_until;
    }
    return session;
  }

  /// A model is given the whole conversation each time: only what it was not given before is new.
  static bool hear(const std::vector<std::string>& said, std::map<std::string, std::size_t>& heard,
                   std::vector<std::string>& texts) {
    std::map<std::string_view, std::size_t> times;
    bool is_new = false;
    for (const std::string& text : said) {
      std::size_t& before = heard[text];
      if (++times[text] > before) {
        ++before;
        texts.push_back(text);
        is_new = true;
      }
    }
    return is_new;
  }

  static bool is_inside_tool(const Span& span,
                             const std::map<std::string_view, const Span*>& by_id) {
    const Span* at = &span;
    for (std::size_t hops = 0; hops < by_id.size(); ++hops) {  // Bounded: parents may form a ring.
      const auto parent = by_id.find(at->parent);
      if (at->parent.empty() || parent == by_id.end()) {
        return false;
      }
      at = parent->second;
      if (at->is_tool) {
        return true;
      }
    }
    return false;
  }

  AgentLogs& logs_;
  std::map<std::string, std::vector<Span>> traces_;
  std::map<std::string, std::string> conversations_;  ///< By trace.
};

}  // namespace

Result<AgentLogs> read_otel_genai(const std::filesystem::path& file, const TraceLimits& limits) {
  AgentLogs logs;
  Spans spans(logs);
  const auto read = read_documents(
      file, limits, document_depth_max,
      [&spans](const json::Value& document, const DocumentPlace& place) -> Result<void> {
        if (document.array() == nullptr) {
          return spans.add_document(document, place.text);
        }
        for (std::size_t i = 0; i < document.array()->size(); ++i) {
          if (auto added = spans.add_document((*document.array())[i],
                                              place.text + ": [" + std::to_string(i) + "]");
              !added) {
            return added;
          }
        }
        return {};
      });
  if (!read) {
    return tl::unexpected(read.error());
  }
  Result<std::vector<TraceSession>> sessions = spans.sessions(file.string(), limits);
  if (!sessions) {
    return tl::unexpected(sessions.error());
  }
  logs.sessions = std::move(*sessions);
  return logs;
}

}  // namespace forerun
