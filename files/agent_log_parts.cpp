#include "files/agent_log_parts.hpp"

#include "files/line_reader.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

json::Value value_of_text(const std::string& text) {
  Result<json::Value> value = json::parse(text);
  return value ? std::move(*value) : json::Value(text);
}

std::optional<json::Object> arguments_of(const json::Value& value) {
  if (value.object() != nullptr) {
    const bool fits = json::canonical(value).size() <= json::document_bytes_max;
    return fits ? std::optional(*value.object()) : std::nullopt;
  }
  if (value.string() == nullptr) {
    return std::nullopt;
  }
  if (is_blank(*value.string())) {
    return json::Object();
  }
  Result<json::Value> parsed = json::parse(*value.string());
  if (!parsed || parsed->object() == nullptr) {
    return std::nullopt;
  }
  return std::move(*parsed->object());
}

Result<std::string> name_of(const json::Value* value, const std::string& place) {
  if (value == nullptr || value->string() == nullptr || value->string()->empty()) {
    return fail(Errc::invalid,
                place + ": " +
                    (value != nullptr && value->string() != nullptr ? std::string("empty")
                                                                    : std::string(kind_of(value))) +
                    ", expected a name");
  }
  if (value->string()->size() > trace_name_bytes_max) {
    return fail(Errc::too_large, place + ": " + std::to_string(value->string()->size()) +
                                     " bytes, expected at most " +
                                     std::to_string(trace_name_bytes_max));
  }
  return *value->string();
}

Result<void> check_session(const TraceSession& session, const std::string& place,
                           const TraceLimits& limits) {
  if (session.steps.size() > limits.steps_per_session) {
    return fail(Errc::too_large, place + ": " + std::to_string(session.steps.size()) +
                                     " calls, expected at most " +
                                     std::to_string(limits.steps_per_session));
  }
  for (const TraceStep& step : session.steps) {
    if (step.texts.size() > trace_texts_max) {
      return fail(Errc::too_large, place + ": " + std::to_string(step.texts.size()) +
                                       " texts before one call, expected at most " +
                                       std::to_string(trace_texts_max));
    }
  }
  return {};
}

bool fits_output(const json::Value& output) {
  return json::canonical(output).size() <= output_bytes_max;
}

}  // namespace forerun
