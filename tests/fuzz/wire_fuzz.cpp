#include "messages/codec.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace forerun;

namespace {

/// What was read is written and read as the same; frames may come apart, and unknown kinds go.
template <class Messages, class Decode>
void check(const Result<Messages>& messages, Decode decode) {
  if (!messages) {
    return;
  }
  const auto again = decode(encode(*messages));
  fuzz::require(again.has_value(), "what was decoded can be encoded and decoded again");
  fuzz::require(*again == *messages, "a message survives its encoding");
  for (const std::string& frame : encode_frames(*messages)) {
    fuzz::require(decode(frame).has_value(), "each of the frames can be decoded");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view frame = fuzz::text_of(data, size);
  check(decode_node_frame(frame), decode_node_frame);
  check(decode_coordinator_frame(frame), decode_coordinator_frame);
  return 0;
}
