#include "node/divergence.hpp"

#include <utility>

#include "base/hex.hpp"
#include "base/json.hpp"

namespace forerun {
namespace {

json::Value signed_json(const std::optional<SignedHead>& head) {
  if (!head) {
    return {};
  }
  auto value = json::parse(head_json(*head));
  return value ? std::move(*value) : json::Value();
}

}  // namespace

std::string divergence_json(const Divergence& divergence) {
  json::Object own;
  own.set("size", divergence.own.size);
  own.set("root", to_hex(divergence.own.root));
  own.set("epoch", divergence.own.epoch.value);
  json::Object result;
  result.set("why", divergence.why);
  result.set("own", std::move(own));
  result.set("own_signed", signed_json(divergence.own_signed));
  result.set("coordinator", signed_json(divergence.theirs));
  result.set("entry", divergence.entry.empty() ? json::Value() : json::Value(divergence.entry));
  return json::canonical(result);
}

}  // namespace forerun
