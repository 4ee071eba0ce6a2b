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

/// Entries of a session: all of them, or a page.
struct SessionEntries {
  std::span<const StoredEntry> commits;  ///< In step order.
  std::span<const StoredEntry> discards;
  std::uint32_t first = 0;              ///< The step that `commits` begin with.
  const StoredEntry* before = nullptr;  ///< The commit ahead of them; null with step 0.
};

/// `{"run_id", "context", "speculation", "ended", "next_step", "first", "steps": [step, …],
/// "discards": [discard, …]}`, see docs/commands.md. A step whose entry cannot be read, or beside
/// which the store holds a text of another hash, has a `problem` instead.
json::Value explain(const SessionRow& session, const SessionEntries& entries);

/// The hash of the session's state before a step, as its story tells; nothing when it was `{}`.
std::optional<Digest> given_state(std::string_view story);
/// The state that a session was opened with, canonical, as the story of its first step tells; empty
/// when it was `{}`.
std::string opened_with(std::string_view story);

/// The same for people, of one step or of all. Errors: not_found for a step that is not decided.
Result<std::string> explanation_text(const json::Value& explanation,
                                     std::optional<std::uint32_t> step);

}  // namespace forerun
