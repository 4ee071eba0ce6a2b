#include "node/executors/envelope.hpp"
#include "node/executors/event_stream.hpp"
#include "node/executors/http_answer.hpp"
#include "node/executors/resident_lines.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace forerun;

namespace {

/// In pieces whose length the input says, as a network would cut it.
void read_answer(const HttpSettings& settings, const HttpHead& head, std::string_view text) {
  HttpAnswerReader reader(settings);
  const std::size_t piece = text.empty() ? 1 : 1 + static_cast<unsigned char>(text.front()) % 64U;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    if (!reader.take(head, text.substr(at, piece))) {
      break;
    }
  }
  static_cast<void>(reader.finish(head));
}

}  // namespace

/// What programs and endpoints answer: the output of a command, a resident's line, a document, a
/// stream of events.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t output_bytes = 1U << 16U;
  const std::string_view text = fuzz::text_of(data, size);
  Task task;
  for (const bool envelope : {false, true}) {
    task.envelope = envelope;
    if (const auto ended = ended_with(task, std::string(text), output_bytes)) {
      fuzz::require(ended->output.size() <= output_bytes, "an output keeps to its limit");
    }
  }
  static_cast<void>(read_resident_line(text));
  HttpSettings settings;
  HttpHead head{200, "application/json"};
  read_answer(settings, head, text);
  settings.answer = "/choices/0/message/content";
  settings.answer_is_json = true;
  read_answer(settings, head, text);
  for (const HttpStream stream : {HttpStream::events, HttpStream::chat}) {
    settings.stream = stream;
    head.content_type = "text/event-stream";
    read_answer(settings, head, text);
  }
  return 0;
}
