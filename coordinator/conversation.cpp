#include "coordinator/conversation.hpp"

#include <cstdio>

namespace forerun {

using prediction::hash_text;
using prediction::mix;

void Conversation::text(std::string_view text) {
  said_ = mix(said_, 1, hash_text(text));
}

void Conversation::step(const Call& call, const Output& output) {
  said_ = mix(said_, 2, hash_text(call.canonical()), hash_text(output.canonical()));
}

std::string Conversation::digest() const {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(said_));
  return text;
}

}  // namespace forerun
