#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "base/result.hpp"
#include "files/traces.hpp"

namespace forerun {

/// What an agent's own logs hold of its sessions.
struct AgentLogs {
  std::vector<TraceSession> sessions;  ///< Those with a call, in their order.
  std::size_t unanswered = 0;          ///< Calls left out because nothing says what they returned.
  std::size_t unreadable = 0;  ///< Calls left out because their arguments are no JSON object.
};

/// JSON Lines or one JSON document over all lines, gzipped or not, each a conversation or a list of
/// them: {"messages": [{"role", "content", "tool_calls", "tool_call_id"}, …]}, or the messages
/// alone, as the chat API of OpenAI and its many likes has them, with
/// `id` or `session` as a name and `group` where they are there. What system and developer said
/// before the first call is the session's context; what user and assistant said between calls
/// reached the session before the next one; words beside a call do not count, as they come with it.
/// Calls of one message were made together. A result that is JSON text counts as that value. There
/// are no times. Errors name file, line and message: not_found, io, too_large, invalid.
Result<AgentLogs> read_openai_messages(const std::filesystem::path& file,
                                       const TraceLimits& limits = {});

/// Spans as OTLP/JSON, one document, a list of documents or JSON Lines of them, gzipped or not, with the `gen_ai.*`
/// attributes of OpenTelemetry's semantic conventions. A span with `gen_ai.tool.name` is a call:
/// `gen_ai.tool.call.arguments` and `gen_ai.tool.call.result` (null where it is absent), its start
/// and end give the latency. A session is a `gen_ai.conversation.id`, else a trace. Thinking lasts
/// from the last end, or from a text that came later, to the call; calls whose times overlap were
/// made together; a tool inside a tool is left out silently, as it is the outer one's doing. Texts
/// are the user's in `gen_ai.input.messages`. Errors name file, line and span: not_found, io,
/// too_large, invalid.
Result<AgentLogs> read_otel_genai(const std::filesystem::path& file,
                                  const TraceLimits& limits = {});

}  // namespace forerun
