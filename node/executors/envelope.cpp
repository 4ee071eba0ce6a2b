#include "node/executors/envelope.hpp"

#include <utility>

#include "node/executors/outcome.hpp"

namespace forerun {

std::string text_for(const Run& run) {
  return std::string(run.call.canonical_input());
}

Result<RunEnded> ended_with(const Task&, const std::string& text, std::size_t output_bytes) {
  const auto value = json::parse(text, json::Limits{.bytes = output_bytes});
  if (!value) {
    return fail(value.error().code, "output: " + value.error().message);
  }
  auto output = output_of(*value, output_bytes);
  if (!output) {
    return tl::unexpected<Error>(std::move(output.error()));
  }
  RunEnded ended;
  ended.output = std::move(*output);
  return ended;
}

}  // namespace forerun
