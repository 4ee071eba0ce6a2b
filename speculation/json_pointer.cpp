#include "speculation/json_pointer.hpp"

#include <algorithm>
#include <charconv>
#include <string>

namespace forerun {
namespace {

/// One step of a pointer: an object's member or a list's item.
const json::Value* child(const json::Value& value, const std::string& token) {
  if (value.object() != nullptr) {
    return value.object()->find(token);
  }
  const json::Array* items = value.array();
  const bool is_plain = !token.empty() && (token.size() == 1 || token.front() != '0');
  std::size_t index = 0;
  const auto [end, problem] = std::from_chars(token.data(), token.data() + token.size(), index);
  if (items == nullptr || !is_plain || problem != std::errc() ||
      end != token.data() + token.size()) {
    return nullptr;
  }
  return index < items->size() ? &(*items)[index] : nullptr;
}

}  // namespace

bool is_json_pointer(std::string_view pointer) {
  if (pointer.empty()) {
    return true;
  }
  for (std::size_t i = 0; i < pointer.size(); ++i) {
    if (pointer[i] == '~' &&
        (i + 1 == pointer.size() || (pointer[i + 1] != '0' && pointer[i + 1] != '1'))) {
      return false;
    }
  }
  return pointer.front() == '/';
}

const json::Value* resolve_pointer(const json::Value& value, std::string_view pointer) {
  if (!is_json_pointer(pointer)) {
    return nullptr;
  }
  const json::Value* at = &value;
  while (at != nullptr && !pointer.empty()) {
    pointer.remove_prefix(1);
    const std::size_t end = std::min(pointer.find('/'), pointer.size());
    std::string token;
    for (std::size_t i = 0; i < end; ++i) {
      const bool is_escape = pointer[i] == '~';
      token.push_back(!is_escape ? pointer[i] : pointer[i + 1] == '0' ? '~' : '/');
      i += is_escape ? 1 : 0;
    }
    at = child(*at, token);
    pointer.remove_prefix(end);
  }
  return at;
}

}  // namespace forerun
