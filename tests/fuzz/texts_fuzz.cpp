// Texts of outputs and of users, as a session's memory takes them apart.
#include "coordinator/parts_of_texts.hpp"
#include "coordinator/session_memory.hpp"
#include "coordinator/written_dates.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace forerun;
using namespace forerun::prediction;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  std::size_t told = 0;
  each_part(text, [&](const TextPart& part) {
    fuzz::require(!part.text.empty() && part.text.size() <= part_bytes_max, "a part is bounded");
    fuzz::require(part.text.data() >= text.data() &&
                      part.text.data() + part.text.size() <= text.data() + text.size(),
                  "a part is of the text");
    fuzz::require(!text_of(part).empty(), "a part is found somehow");
    fuzz::require(!part.is_number || number_in_text(part.text), "a number is one");
    return ++told < parts_per_text_max;
  });
  if (const auto number = number_of_text(text)) {
    fuzz::require(text_of_number(*number) == std::string(text), "a number comes back as its text");
  }
  for (const WrittenDay& day : moments_in(text).days) {
    fuzz::require(day.at < text.size(), "a day stands in its text");
    fuzz::require(year_of_iso(iso_day(2024, day)) == 2024, "a day is told as ISO 8601 has it");
  }
  SessionMemory memory(MemoryLimits{});
  memory.add_text(text, 2024);
  memory.add_call(SeenStep{Call::make("make", {}), std::nullopt, 1, 0, 0, 0});
  const auto count = [&memory] {
    const SessionMemory::Mark now = memory.mark();
    memory.rollback(now);
    return now.values;
  };
  const std::size_t values = count();
  json::Array output;
  output.push_back(json::Value(text));
  output.push_back(json::Value(text));
  // Only texts that are UTF-8.
  if (const auto read = json::parse(json::canonical(json::Value(std::move(output))))) {
    const SessionMemory::Mark mark = memory.mark();
    memory.add_output(Output::make(*read), 0);
    fuzz::require(count() <= values + MemoryLimits{}.values_per_document,
                  "what an output brings is bounded");
    memory.rollback(mark);
    fuzz::require(count() == values, "all of it is taken back");
  }
  return 0;
}
