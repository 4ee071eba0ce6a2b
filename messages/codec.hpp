#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "speculation/protocol.hpp"

/// Bytes of one frame ⇄ the structs of speculation/protocol.hpp. Protobuf bytes are never hashed or
/// compared. Thread-safe: every thread has its own scratch memory.
namespace forerun {

inline constexpr std::size_t label_bytes_max = 512;  ///< Names, versions, tasks, recorded sessions.
inline constexpr std::size_t heartbeat_tokens_max = workers_per_node_max * slots_per_worker_max;

/// One frame, whatever its size: for callers that know that it is small. Causes and reasons are cut
/// to cause_bytes_max.
std::string encode(std::span<const NodeMessage> messages);
std::string encode(std::span<const CoordinatorMessage> messages);

/// As many frames as the limits ask for (messages_per_frame, frame_bytes_max), in order; none for
/// no messages. Entries with more than fetch_entries_max records, or too many bytes, become several
/// Entries, of which the last has the head. A single message (or record) above frame_bytes_max
/// stays whole: a bus refuses it.
std::vector<std::string> encode_frames(std::span<const NodeMessage> messages);
std::vector<std::string> encode_frames(std::span<const CoordinatorMessage> messages);

/// Errors: too_large (frame_bytes_max, frame_messages_max and the limits of protocol.hpp, all
/// checked before memory is taken where the format allows it), invalid (naming the message and
/// field; a message of the other direction). Unknown message kinds are skipped.
Result<std::vector<NodeMessage>> decode_node_frame(std::string_view frame);
Result<std::vector<CoordinatorMessage>> decode_coordinator_frame(std::string_view frame);

}  // namespace forerun
