#include "files/agent_log_parts.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

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

namespace {

/// The line on which the byte stands that a parser's error names, such as "json: byte 12: …".
std::size_t line_of_error(std::string_view text, std::string_view message) {
  constexpr std::string_view before = "byte ";
  const std::size_t found = message.find(before);
  std::size_t byte = 0;
  if (found != std::string_view::npos) {
    const std::string_view digits = message.substr(found + before.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), byte);
  }
  text = text.substr(0, byte);
  return 1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

Result<void> read_documents(const std::filesystem::path& file, const TraceLimits& limits,
                            std::size_t depth_max,
                            const std::function<Result<void>(const json::Value& document,
                                                             const DocumentPlace& place)>& each) {
  Result<LineReader> reader = LineReader::open(file, {limits.line_bytes, limits.file_bytes});
  if (!reader) {
    return tl::unexpected(reader.error());
  }
  std::string line;
  std::string whole;           // From the first line on, as long as no line has been a document.
  std::optional<Error> first;  // Of the first line that is not blank.
  bool are_lines = false;
  bool is_one_line = true;
  while (true) {
    const Result<bool> more = reader->next(line);
    if (!more) {
      return tl::unexpected(more.error());
    }
    if (!*more) {
      break;
    }
    if (!are_lines) {
      whole += line;
      whole += '\n';
    }
    if (is_blank(line)) {
      continue;
    }
    if (first) {
      is_one_line = false;
      continue;
    }
    const Result<json::Value> value =
        json::parse(line, {.bytes = limits.line_bytes, .depth = depth_max});
    if (!value) {
      Error error{value.error().code, reader->place() + ": " + value.error().message};
      if (are_lines) {
        return tl::unexpected(std::move(error));
      }
      first = std::move(error);
      continue;
    }
    are_lines = true;
    whole.clear();
    if (auto taken = each(*value, {reader->place(), reader->number()}); !taken) {
      return taken;
    }
  }
  if (!first) {
    return {};
  }
  if (is_one_line) {
    return tl::unexpected(std::move(*first));
  }
  const Result<json::Value> value =
      json::parse(whole, {.bytes = limits.file_bytes, .depth = depth_max});
  if (!value) {
    return fail(value.error().code,
                first->message + "; read as one document over all lines: line " +
                    std::to_string(line_of_error(whole, value.error().message)) + ": " +
                    value.error().message + "; expected JSON Lines or one JSON document");
  }
  return each(*value, {file.string(), 0});
}

bool fits_output(const json::Value& output) {
  return json::canonical(output).size() <= output_bytes_max;
}

}  // namespace forerun
