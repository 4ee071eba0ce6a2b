#include "node/executors/resident_lines.hpp"

#include <cmath>
#include <optional>
#include <utility>

namespace forerun {
namespace {

constexpr const char* expected =
    R"(, expected {"id":…,"output":…} (with "writes" and "effects" beside the output of an envelope), )"
    R"({"id":…,"error":"…"} or {"id":…,"cancelled":true})";
constexpr double id_max = 9007199254740991.0;

/// What an answer says, without its id.
std::optional<ResidentAnswer> returned_in(const json::Object& members) {
  ResidentAnswer answer;
  json::Object said;
  for (const json::Member& member : members) {
    if (member.name == "output" || member.name == "writes" || member.name == "effects") {
      said.set(member.name, member.value);
    } else if (member.name != "id") {
      return std::nullopt;
    }
  }
  if (said.find("output") == nullptr) {
    return std::nullopt;
  }
  answer.is_envelope = said.size() > 1;
  answer.text = json::canonical(answer.is_envelope ? json::Value(said) : *said.find("output"));
  return answer;
}

}  // namespace

std::string resident_call(std::uint64_t id, const Run& run) {
  std::string line = R"({"id":)" + std::to_string(id) + R"(,"task":)" +
                     json::canonical(json::Value(run.task.name)) + R"(,"input":)";
  line += run.call.canonical_input();
  if (run.task.envelope) {
    line += R"(,"state":)";
    json::append_canonical(line, run.state);
  }
  if (run.task.effect == Effect::write) {
    line += R"(,"key":)" + json::canonical(json::Value(run.outside_key));
  }
  return line + "}\n";
}

std::string resident_cancel(std::uint64_t id) {
  return R"({"cancel":)" + std::to_string(id) + "}\n";
}

namespace {

/// Takes `"last":true` out of an answer; false where `last` is something else.
std::optional<bool> take_last(json::Object& answer) {
  const json::Value* const last = answer.find("last");
  if (last == nullptr) {
    return false;
  }
  if (last->boolean() == nullptr || !*last->boolean()) {
    return std::nullopt;
  }
  answer.erase("last");
  return true;
}

}  // namespace

Result<ResidentLine> read_resident_line(std::string_view line) {
  const json::Limits limits{.bytes = output_bytes_max + resident_line_extra,
                            .depth = json::depth_max + 1};
  auto value = json::parse(line, limits);
  if (!value) {
    return fail(Errc::invalid, "answer: " + value.error().message);
  }
  if (value->object() == nullptr) {
    return fail(Errc::invalid, std::string("answer: not an object") + expected);
  }
  const auto is_last = take_last(*value->object());
  if (!is_last) {
    return fail(Errc::invalid, "answer: last is not true, expected true or no such member");
  }
  const std::size_t members = value->object()->size();
  if (const json::Value* ready = value->find("ready");
      ready != nullptr && members == 1 && !*is_last) {
    return ResidentReady{};
  }
  const json::Value* id = value->find("id");
  const double* number = id == nullptr ? nullptr : id->number();
  if (number == nullptr || members < 2 || *number < 1 || *number > id_max ||
      *number != std::trunc(*number)) {
    return fail(Errc::invalid,
                std::string("answer: no whole number as id, or nothing else") + expected);
  }
  ResidentAnswer answer;
  if (auto returned = returned_in(*value->object())) {
    answer = std::move(*returned);
    answer.id = static_cast<std::uint64_t>(*number);
    answer.is_last = *is_last;
    return answer;
  }
  answer.id = static_cast<std::uint64_t>(*number);
  answer.is_last = *is_last;
  if (members != 2) {
    return fail(Errc::invalid, std::string("answer: other members") + expected);
  }
  if (const json::Value* error = value->find("error"); error != nullptr && error->string()) {
    answer.kind = ResidentAnswer::Kind::error;
    answer.text = *error->string();
    return answer;
  }
  const json::Value* cancelled = value->find("cancelled");
  if (cancelled != nullptr && cancelled->boolean() != nullptr && *cancelled->boolean()) {
    answer.kind = ResidentAnswer::Kind::cancelled;
    return answer;
  }
  return fail(Errc::invalid, std::string("answer: neither output, error nor cancelled") + expected);
}

}  // namespace forerun
