#include "speculation/history.hpp"

#include <utility>

namespace forerun {
namespace {

/// A document lies in an input or output of a step of a session.
constexpr std::size_t session_depth_max = json::depth_max + 3;

/// Reads one session, keeping the place for messages.
class HistoryReader {
public:
  Result<HistorySession> read(const json::Value& value) {
    HistorySession session;
    if (value.object() == nullptr) {
      return refuse("not an object, expected {\"session\", \"steps\", …}");
    }
    auto name = text_of(value, "session", true, history_name_bytes_max);
    if (!name) {
      return tl::unexpected<Error>(name.error());
    }
    session.name = std::move(*name);
    place_ = "session \"" + session.name + "\": ";
    if (session.name.empty()) {
      return refuse("member \"session\": empty, expected a name");
    }
    auto context = text_of(value, "context", false, json::document_bytes_max);
    if (!context) {
      return tl::unexpected<Error>(context.error());
    }
    session.context = std::move(*context);
    const json::Value* steps = value.find("steps");
    if (steps == nullptr || steps->array() == nullptr) {
      return refuse("member \"steps\": " + kind_of(steps) + ", expected a list");
    }
    if (steps->array()->empty() || steps->array()->size() > history_steps_max) {
      return refuse("member \"steps\": " + std::to_string(steps->array()->size()) +
                        " steps, expected 1 to " + std::to_string(history_steps_max),
                    steps->array()->empty() ? Errc::invalid : Errc::too_large);
    }
    const std::string session_place = place_;
    for (const json::Value& item : *steps->array()) {
      place_ = session_place + "step " + std::to_string(session.steps.size()) + ": ";
      auto step = step_of(item);
      if (!step) {
        return tl::unexpected<Error>(step.error());
      }
      session.steps.push_back(std::move(*step));
    }
    return session;
  }

private:
  tl::unexpected<Error> refuse(const std::string& what, Errc code = Errc::invalid) const {
    return fail(code, place_ + what);
  }

  static std::string kind_of(const json::Value* value) {
    return value == nullptr ? "missing" : "of another type";
  }

  Result<std::string> text_of(const json::Value& holder, const char* member, bool is_required,
                              std::size_t bytes_max) const {
    const json::Value* value = holder.find(member);
    if (!is_required && (value == nullptr || value->is_null())) {
      return std::string();
    }
    const std::string subject = "member \"" + std::string(member) + "\": ";
    if (value == nullptr || value->string() == nullptr) {
      return refuse(subject + kind_of(value) + ", expected a text");
    }
    if (value->string()->size() > bytes_max) {
      return refuse(subject + std::to_string(value->string()->size()) +
                        " bytes, expected at most " + std::to_string(bytes_max),
                    Errc::too_large);
    }
    return *value->string();
  }

  Result<HistoryStep> step_of(const json::Value& item) const {
    if (item.object() == nullptr) {
      return refuse("not an object, expected {\"task\", \"input\", …}");
    }
    auto task = text_of(item, "task", true, task_bytes_max);
    if (!task) {
      return tl::unexpected<Error>(task.error());
    }
    if (task->empty()) {
      return refuse("member \"task\": empty, expected a task's name");
    }
    const json::Value* input = item.find("input");
    if (input == nullptr || input->object() == nullptr) {
      return refuse("member \"input\": " + kind_of(input) + ", expected an object");
    }
    const json::Value* output = item.find("output");
    for (const json::Value* document : {input, output}) {
      if (document != nullptr && json::depth_of(*document) > json::depth_max) {
        return refuse("member \"" + std::string(document == input ? "input" : "output") +
                          "\": nested deeper than " + std::to_string(json::depth_max),
                      Errc::too_large);
      }
    }
    auto texts = texts_of(item);
    if (!texts) {
      return tl::unexpected<Error>(texts.error());
    }
    HistoryStep step{std::move(*texts), Call::make(std::move(*task), *input->object()), {}};
    if (step.call.canonical().size() > json::document_bytes_max) {
      return refuse("member \"input\": more than " + std::to_string(json::document_bytes_max) +
                        " bytes of canonical text",
                    Errc::too_large);
    }
    if (output != nullptr) {
      step.output = Output::make(*output);
    }
    return step;
  }

  Result<std::vector<std::string>> texts_of(const json::Value& item) const {
    std::vector<std::string> texts;
    const json::Value* list = item.find("pre");
    if (list == nullptr || list->is_null()) {
      return texts;
    }
    if (list->array() == nullptr || list->array()->size() > history_texts_max) {
      return refuse("member \"pre\": expected a list of at most " +
                    std::to_string(history_texts_max) + " texts");
    }
    for (const json::Value& text : *list->array()) {
      if (text.string() == nullptr) {
        return refuse("member \"pre\": expected texts only");
      }
      texts.push_back(*text.string());
    }
    return texts;
  }

  std::string place_;
};

}  // namespace

Result<HistorySession> read_history_session(const json::Value& value) {
  return HistoryReader().read(value);
}

std::string history_text(const HistorySession& session) {
  std::string text;
  const auto list = [&text](const auto& items, const auto& append) {
    text += '[';
    const char* comma = "";
    for (const auto& item : items) {
      text += std::exchange(comma, ",");
      append(item);
    }
    text += ']';
  };
  text += "{\"context\":";
  json::append_string(text, session.context);
  text += ",\"session\":";
  json::append_string(text, session.name);
  text += ",\"steps\":";
  list(session.steps, [&](const HistoryStep& step) {
    text += "{\"input\":";
    text += step.call.canonical_input();
    if (step.output) {
      text += ",\"output\":";
      text += step.output->canonical();
    }
    if (!step.texts.empty()) {
      text += ",\"pre\":";
      list(step.texts, [&text](const std::string& each) { json::append_string(text, each); });
    }
    text += ",\"task\":";
    json::append_string(text, step.call.task());
    text += '}';
  });
  text += '}';
  return text;
}

Result<HistorySession> parse_history_text(const std::string& text) {
  const auto value = json::parse(text, {.bytes = text.size(), .depth = session_depth_max});
  return value ? read_history_session(*value)
               : Result<HistorySession>(tl::unexpected<Error>(value.error()));
}

}  // namespace forerun
