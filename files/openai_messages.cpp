#include <algorithm>
#include <map>
#include <set>

#include "files/agent_log_parts.hpp"
#include "files/line_reader.hpp"

namespace forerun {
namespace {

/// A list of conversations nests so much above a message's value.
constexpr std::size_t conversation_depth_max = json::depth_max + 4;

/// A message's words; what is no text (images, audio) is passed over. Nothing for a malformed one.
std::optional<std::string> words_of(const json::Value* content) {
  if (content == nullptr || content->is_null()) {
    return std::string();
  }
  if (content->string() != nullptr) {
    return *content->string();
  }
  if (content->array() == nullptr) {
    return std::nullopt;
  }
  std::string words;
  for (const json::Value& part : *content->array()) {
    if (const json::Value* text = part.find("text"); text != nullptr && text->string() != nullptr) {
      words += (words.empty() ? "" : "\n") + *text->string();
    }
  }
  return words;
}

/// Follows the messages of one conversation.
class Conversations {
public:
  Conversations(std::string place, AgentLogs& logs) : place_(std::move(place)), logs_(logs) {}

  /// {"messages": […]}, or the list of messages alone.
  Result<TraceSession> read(const json::Value& conversation) {
    const bool is_list = conversation.array() != nullptr;
    const json::Value* messages = is_list ? &conversation : conversation.find("messages");
    if (messages == nullptr && conversation.object() == nullptr) {
      return fail(Errc::invalid, place_ + ": " + std::string(kind_of(&conversation)) +
                                     ", expected a conversation: a list of messages or an object "
                                     "with \"messages\"");
    }
    if (messages == nullptr || messages->array() == nullptr) {
      return fail(Errc::invalid, place_ + ": messages: " + std::string(kind_of(messages)) +
                                     ", expected a list (of a conversation's messages)");
    }
    for (std::size_t i = 0; i < messages->array()->size(); ++i) {
      at_ = place_ + ": " + (is_list ? "message " : "messages[") + std::to_string(i) +
            (is_list ? "" : "]");
      if (auto taken = message((*messages->array())[i]); !taken) {
        return tl::unexpected(taken.error());
      }
    }
    return collected();
  }

private:
  struct Made {
    std::optional<Call> call;  ///< Empty: unreadable.
    std::optional<json::Value> output;
    std::vector<std::string> texts;  ///< Before it.
    std::size_t message = 0;         ///< Calls of one message were made together.
  };

  Result<void> expected(const std::string& member, const json::Value* found,
                        const std::string& what) const {
    return fail(Errc::invalid,
                at_ + member + ": " + std::string(kind_of(found)) + ", expected " + what);
  }

  Result<void> message(const json::Value& message) {
    const json::Value* role = message.find("role");
    if (role == nullptr || role->string() == nullptr) {
      return expected(".role", role, "a text");
    }
    const json::Value* content = message.find("content");
    const std::optional<std::string> words = words_of(content);
    if (!words) {
      return expected(".content", content, "a text, a list of parts or null");
    }
    const std::string& who = *role->string();
    if (who == "tool" || who == "function") {
      return result(message, who == "tool" ? "tool_call_id" : "name", *words);
    }
    if (who == "assistant") {
      return assistant(message, *words);
    }
    if (who == "system" || who == "developer") {
      if (made_.empty()) {
        context_ += (context_.empty() || words->empty() ? "" : "\n") + *words;
        return {};
      }
    } else if (who != "user") {
      return fail(Errc::invalid, at_ + ".role: \"" + who +
                                     "\", expected system, developer, user, assistant, tool or "
                                     "function");
    }
    say(*words);
    return {};
  }

  void say(const std::string& words) {
    if (!words.empty()) {
      texts_.push_back(words);
    }
  }

  Result<void> assistant(const json::Value& message, const std::string& words) {
    const json::Value* calls = message.find("tool_calls");
    const json::Value* old_form = message.find("function_call");
    ++messages_;
    if (calls != nullptr && !calls->is_null()) {
      if (calls->array() == nullptr) {
        return expected(".tool_calls", calls, "a list");
      }
      for (std::size_t i = 0; i < calls->array()->size(); ++i) {
        const json::Value& each = (*calls->array())[i];
        const std::string member = ".tool_calls[" + std::to_string(i) + "]";
        const json::Value* id = each.find("id");
        if (id == nullptr || id->string() == nullptr) {
          return expected(member + ".id", id, "a text");
        }
        if (auto taken = call(each.find("function"), member + ".function", *id->string()); !taken) {
          return taken;
        }
      }
      if (!calls->array()->empty()) {
        return {};
      }
    } else if (old_form != nullptr && !old_form->is_null()) {
      const json::Value* name = old_form->find("name");
      return call(old_form, ".function_call",
                  name != nullptr && name->string() != nullptr ? *name->string() : std::string());
    }
    say(words);
    return {};
  }

  Result<void> call(const json::Value* function, const std::string& member,
                    const std::string& key) {
    Made made;
    made.message = messages_;
    made.texts = std::move(texts_);
    texts_.clear();
    if (function != nullptr) {
      const Result<std::string> name = name_of(function->find("name"), at_ + member + ".name");
      if (!name) {
        return tl::unexpected(name.error());
      }
      const json::Value* arguments = function->find("arguments");
      auto input = arguments_of(arguments == nullptr ? json::Value(json::Object()) : *arguments);
      if (input) {
        made.call = Call::make(*name, std::move(*input));
      }
    }
    open_[key].push_back(made_.size());
    made_.push_back(std::move(made));
    return {};
  }

  Result<void> result(const json::Value& message, const std::string& member,
                      const std::string& words) {
    const json::Value* key = message.find(member);
    if (key == nullptr || key->string() == nullptr) {
      return expected("." + member, key, "a text");
    }
    const auto found = open_.find(*key->string());
    if (found == open_.end()) {
      return fail(Errc::invalid, at_ + "." + member + ": \"" + *key->string() +
                                     "\", expected the call of an earlier message that has no "
                                     "result yet");
    }
    json::Value output = value_of_text(words);
    if (!fits_output(output)) {
      return fail(Errc::too_large, at_ + ".content: larger than an output may be");
    }
    made_[found->second.front()].output = std::move(output);
    found->second.erase(found->second.begin());
    if (found->second.empty()) {
      open_.erase(found);
    }
    return {};
  }

  TraceSession collected() {
    TraceSession session;
    session.context = std::move(context_);
    std::vector<std::string> texts;
    std::size_t together = 0;
    for (Made& made : made_) {
      std::move(made.texts.begin(), made.texts.end(), std::back_inserter(texts));
      if (!made.call || !made.output) {
        logs_.unreadable += made.call ? 0 : 1;
        logs_.unanswered += made.call ? 1 : 0;
        continue;
      }
      const bool beside = !session.steps.empty() && made.message == together;
      together = made.message;
      session.steps.push_back(
          {std::move(*made.call), std::move(*made.output), {}, {}, std::move(texts), beside});
      texts.clear();
    }
    return session;
  }

  std::string place_;
  AgentLogs& logs_;
  std::string at_;
  std::string context_;
  std::vector<std::string> texts_;  ///< Since the last call.
  std::vector<Made> made_;
  std::size_t messages_ = 0;                                           ///< Of the assistant.
  std::map<std::string, std::vector<std::size_t>, std::less<>> open_;  ///< Calls without a result.
};

/// A list of messages, not of conversations: its first element has a role.
bool is_conversation(const json::Value& document) {
  const json::Array* list = document.array();
  return list == nullptr || (!list->empty() && list->front().find("role") != nullptr);
}

/// Takes conversations and names them.
class Log {
public:
  explicit Log(const TraceLimits& limits) : limits_(limits) {}

  Result<void> add_document(const json::Value& document, const DocumentPlace& place) {
    const std::string line = place.line == 0 ? "" : "line " + std::to_string(place.line);
    if (is_conversation(document)) {
      return add(document, place.text, line.empty() ? "conversation 0" : line);
    }
    for (std::size_t i = 0; i < document.array()->size(); ++i) {
      const std::string number = "conversation " + std::to_string(i);
      if (auto added = add((*document.array())[i], place.text + ": " + number,
                           line.empty() ? number : line + ", " + number);
          !added) {
        return added;
      }
    }
    return {};
  }
  AgentLogs take() { return std::move(logs_); }

private:
  Result<void> add(const json::Value& conversation, const std::string& place, std::string unnamed) {
    std::string name = std::move(unnamed);
    for (const char* member : {"session", "id"}) {  // The latter counts.
      const json::Value* given = conversation.find(member);
      if (given != nullptr && !given->is_null()) {
        const Result<std::string> read = name_of(given, place + ": " + member);
        if (!read) {
          return tl::unexpected(read.error());
        }
        name = *read;
      }
    }
    if (!names_.insert(name).second) {
      return fail(Errc::invalid, place + ": \"" + name +
                                     "\" is an earlier conversation's name, expected a new one");
    }
    if (names_.size() > limits_.sessions) {
      return fail(Errc::too_large,
                  place + ": more than " + std::to_string(limits_.sessions) + " conversations");
    }
    Result<TraceSession> session = Conversations(place, logs_).read(conversation);
    if (!session) {
      return tl::unexpected(session.error());
    }
    if (const auto fits = check_session(*session, place, limits_); !fits) {
      return fits;
    }
    const json::Value* group = conversation.find("group");
    session->group = group != nullptr && group->string() != nullptr ? *group->string() : name;
    session->name = std::move(name);
    if (!session->steps.empty()) {
      logs_.sessions.push_back(std::move(*session));
    }
    return {};
  }

  const TraceLimits& limits_;
  AgentLogs logs_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace

Result<AgentLogs> read_openai_messages(const std::filesystem::path& file,
                                       const TraceLimits& limits) {
  Log log(limits);
  const auto read = read_documents(file, limits, conversation_depth_max,
                                   [&log](const json::Value& document, const DocumentPlace& place) {
                                     return log.add_document(document, place);
                                   });
  if (!read) {
    return tl::unexpected(read.error());
  }
  return log.take();
}

}  // namespace forerun
