#include "speculation/session_state.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace forerun {
namespace {

/// RFC 6901 §4. @pre the catalog has checked its form.
std::vector<std::string> tokens_of(std::string_view pointer) {
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < pointer.size(); ++i) {
    if (pointer[i] == '/') {
      tokens.emplace_back();
    } else if (pointer[i] == '~' && i + 1 < pointer.size()) {
      tokens.back().push_back(pointer[++i] == '1' ? '/' : '~');
    } else {
      tokens.back().push_back(pointer[i]);
    }
  }
  return tokens;
}

/// Copies what `path` leads to from one object into the other. @pre path is not empty.
void copy_path(const json::Object& from, std::span<const std::string> path, json::Object& to) {
  const json::Value* found = from.find(path.front());
  if (found == nullptr) {
    return;
  }
  if (path.size() == 1) {
    to.set(path.front(), *found);
    return;
  }
  const json::Value* leaf = found;
  for (const std::string& token : path.subspan(1)) {
    leaf = leaf == nullptr || leaf->object() == nullptr ? nullptr : leaf->object()->find(token);
  }
  if (leaf == nullptr) {
    return;
  }
  if (to.find(path.front()) == nullptr) {
    to.set(path.front(), json::Object());
  }
  copy_path(*found->object(), path.subspan(1), *to.find(path.front())->object());
}

const Output& empty_object() {
  static const Output empty = Output::make(json::Object());
  return empty;
}

}  // namespace

json::Value merge_patch(json::Value target, const json::Value& patch) {
  if (patch.object() == nullptr) {
    return patch;
  }
  if (target.object() == nullptr) {
    target = json::Object();
  }
  json::Object& members = *target.object();
  for (const json::Member& change : *patch.object()) {
    if (change.value.is_null()) {
      members.erase(change.name);
    } else if (json::Value* known = members.find(change.name)) {
      *known = merge_patch(std::move(*known), change.value);
    } else {
      members.set(change.name, merge_patch(json::Value(), change.value));
    }
  }
  return target;
}

Result<std::optional<Output>> write_set_of(std::string_view text) {
  if (text.empty()) {
    return std::nullopt;
  }
  auto writes = Output::parse(text, {.bytes = writes_bytes_max});
  if (!writes) {
    return fail(writes.error().code, "writes: " + writes.error().message);
  }
  if (writes->value().object() == nullptr) {
    return fail(Errc::invalid,
                "writes: not an object, expected a merge patch (RFC 7396) of the "
                "session's state, which is one");
  }
  if (writes->canonical().size() > writes_bytes_max) {
    return fail(Errc::too_large, "writes: " + std::to_string(writes->canonical().size()) +
                                     " bytes, expected at most " +
                                     std::to_string(writes_bytes_max));
  }
  return writes->value().object()->empty() ? std::optional<Output>() : std::move(*writes);
}

StatePaths joined(const StatePaths& a, const StatePaths& b) {
  if (!a || !b) {
    return std::nullopt;
  }
  StatePaths both = a;
  both->insert(both->end(), b->begin(), b->end());
  return both;
}

SessionState::SessionState() : whole_(empty_object()) {}

Result<SessionState> SessionState::parse(std::string_view text) {
  auto whole = Output::parse(text, {.bytes = state_bytes_max});
  if (!whole) {
    return fail(whole.error().code, "state: " + whole.error().message);
  }
  if (whole->value().object() == nullptr) {
    return fail(Errc::invalid, "state: not an object, expected a JSON object");
  }
  if (whole->canonical().size() > state_bytes_max) {
    return fail(Errc::too_large, "state: " + std::to_string(whole->canonical().size()) +
                                     " bytes, expected at most " + std::to_string(state_bytes_max));
  }
  return SessionState(std::move(*whole));
}

Result<SessionState> SessionState::patched(const Output& writes) const {
  Output changed = Output::make(merge_patch(whole_.value(), writes.value()));
  if (changed.canonical().size() > state_bytes_max) {
    return fail(Errc::too_large, "writes: they would make the session's state " +
                                     std::to_string(changed.canonical().size()) +
                                     " bytes, expected at most " + std::to_string(state_bytes_max));
  }
  return SessionState(std::move(changed));
}

SessionState SessionState::part(const StatePaths& paths) const {
  if (!paths || empty()) {
    return *this;
  }
  json::Object part;
  for (const std::string& path : *paths) {
    if (path.empty()) {
      return *this;
    }
    copy_path(*whole_.value().object(), tokens_of(path), part);
  }
  return part.empty() ? SessionState() : SessionState(Output::make(std::move(part)));
}

}  // namespace forerun
