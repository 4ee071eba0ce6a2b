#pragma once

#include <string_view>

#include "base/json.hpp"

namespace forerun {

/// RFC 6901 §3.
bool is_json_pointer(std::string_view pointer);

/// Null when the pointer leads nowhere or is malformed.
const json::Value* resolve_pointer(const json::Value& value, std::string_view pointer);

}  // namespace forerun
