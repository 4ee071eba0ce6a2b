#include "node/executors/envelope.hpp"

#include <string_view>
#include <utility>

#include "node/executors/outcome.hpp"

namespace forerun {
namespace {

/// An error of output_of(), of another part than the output.
tl::unexpected<Error> of(const std::string& part, const Error& error) {
  constexpr std::string_view said = "output";
  return fail(error.code, part + error.message.substr(said.size()));
}

}  // namespace

std::string text_for(const Run& run) {
  if (!run.task.envelope) {
    return std::string(run.call.canonical_input());
  }
  std::string text = R"({"input":)";
  text += run.call.canonical_input();
  text += R"(,"state":)";
  json::append_canonical(text, run.state);
  text += '}';
  return text;
}

Result<RunEnded> ended_with(const json::Value& output, const json::Value& writes,
                            const json::Value& effects, std::size_t output_bytes) {
  auto text = output_of(output, output_bytes);
  if (!text) {
    return tl::unexpected<Error>(std::move(text.error()));
  }
  RunEnded ended;
  ended.output = std::move(*text);
  if (!writes.is_null()) {
    if (writes.object() == nullptr) {
      return fail(Errc::invalid,
                  "writes: not an object, expected a merge patch (RFC 7396) of the "
                  "session's state, which is one");
    }
    auto patch = output_of(writes, writes_bytes_max);
    if (!patch) {
      return of("writes", patch.error());
    }
    ended.writes = std::move(*patch);
  }
  if (!effects.is_null()) {
    if (effects.array() == nullptr) {
      return fail(Errc::invalid, "effects: not a list, expected a list of effects");
    }
    auto list = output_of(effects, effects_bytes_max);
    if (!list) {
      return of("effects", list.error());
    }
    ended.effects = std::move(*list);
  }
  return ended;
}

Result<RunEnded> ended_with(const Task& task, const std::string& text, std::size_t output_bytes) {
  // An envelope's members may be as deep as documents of their own.
  auto value = json::parse(text, {.bytes = output_bytes, .depth = json::depth_max + 1});
  if (!value) {
    return fail(value.error().code, "output: " + value.error().message);
  }
  if (!task.envelope) {
    return ended_with(*value, {}, {}, output_bytes);
  }
  const json::Object* members = value->object();
  const json::Value* output = members == nullptr ? nullptr : members->find("output");
  if (output == nullptr) {
    return fail(Errc::invalid,
                R"(output: expected an envelope {"output": …, "writes": …, "effects": …})");
  }
  for (const json::Member& member : *members) {
    if (member.name != "output" && member.name != "writes" && member.name != "effects") {
      return fail(Errc::invalid, "output: member \"" + json::clean_text(member.name, 100) +
                                     "\" of the envelope: unknown, expected output, writes, "
                                     "effects");
    }
  }
  const json::Value* writes = members->find("writes");
  const json::Value* effects = members->find("effects");
  return ended_with(*output, writes == nullptr ? json::Value() : *writes,
                    effects == nullptr ? json::Value() : *effects, output_bytes);
}

}  // namespace forerun
