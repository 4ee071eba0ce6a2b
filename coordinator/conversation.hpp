#pragma once

#include <string>
#include <string_view>

#include "coordinator/prediction_hash.hpp"
#include "speculation/call.hpp"

namespace forerun {

/// The parameter of a model's call that stands for all that was said so far.
inline constexpr const char* conversation_parameter = "said";

/// A digest of all that a session has said: texts, calls and their outputs, in order. A model that
/// gets the whole conversation gives the same answer for the same digest; so its call can be named
/// before it comes.
class Conversation {
public:
  void text(std::string_view text);
  void step(const Call& call, const Output& output);
  /// 16 hex digits.
  std::string digest() const;

private:
  prediction::Key said_ = 0x5a1d;
};

}  // namespace forerun
