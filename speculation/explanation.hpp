#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/sha256.hpp"
#include "speculation/durable.hpp"

/// The story of a session's decisions, told from its record alone.
namespace forerun {

/// `{"run_id", "context", "speculation", "ended", "steps": [step, …], "discards": [discard, …]}`,
/// see docs/commands.md. A step whose entry cannot be read, or beside which the store holds a text
/// of another hash, has a `problem` instead. Commits come in step order.
json::Value explain(const SessionRow& session, std::span<const StoredEntry> commits,
                    std::span<const StoredEntry> discards);

/// The hash of the session's state before a step, as its story tells; nothing when it was `{}`.
std::optional<Digest> given_state(std::string_view story);
/// The state that a session was opened with, canonical, as the story of its first step tells; empty
/// when it was `{}`.
std::string opened_with(std::string_view story);

/// The same for people, of one step or of all. Errors: not_found for a step that is not decided.
Result<std::string> explanation_text(const json::Value& explanation,
                                     std::optional<std::uint32_t> step);

}  // namespace forerun
