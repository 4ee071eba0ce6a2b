#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "speculation/protocol.hpp"

/// Bytes of one frame ⇄ the structs of speculation/protocol.hpp. Protobuf bytes are never hashed or compared.
namespace forerun {

std::string encode(std::span<const NodeMessage> messages);
std::string encode(std::span<const CoordinatorMessage> messages);

/// Errors: too_large (frame_bytes_max, frame_messages_max and the limits of protocol.hpp, all checked before memory is
/// taken where the format allows it), invalid (naming the message and field). Unknown message kinds are skipped.
Result<std::vector<NodeMessage>> decode_node_frame(std::string_view frame);
Result<std::vector<CoordinatorMessage>> decode_coordinator_frame(std::string_view frame);

} // namespace forerun
