#include "base/json.hpp"
#include "speculation/call.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace forerun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  if (const auto value = json::parse(text)) {
    const std::string canonical = json::canonical(*value);
    const auto again = json::parse(canonical);
    fuzz::require(again.has_value(), "canonical JSON is JSON");
    fuzz::require(*again == *value, "canonical JSON says the same");
    fuzz::require(json::canonical(*again) == canonical, "the form is canonical");
  }
  if (const auto call = Call::parse(text)) {
    const auto again = Call::parse(call->canonical());
    fuzz::require(again.has_value() && again->canonical() == call->canonical() &&
                      again->hash() == call->hash(),
                  "a call's canonical text is that call");
  }
  return 0;
}
