#include "files/agent_logs.hpp"
#include "files/traces.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace forerun;

/// One file for each of the readers of recorded sessions, gzipped or not.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::MemoryFile file(fuzz::text_of(data, size));
  TraceLimits limits;
  limits.file_bytes = 1U << 20U;  // A small gzipped input must not take the fuzzer's time.
  if (auto sessions = read_traces(file.path(), limits)) {
    model_missing_times(*sessions, 1);
  }
  read_openai_messages(file.path(), limits);
  read_otel_genai(file.path(), limits);
  return 0;
}
