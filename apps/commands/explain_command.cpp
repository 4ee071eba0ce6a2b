#include <cctype>
#include <iostream>
#include <memory>

#include "apps/commands/client_flags.hpp"
#include "apps/commands/commands.hpp"
#include "speculation/explanation.hpp"
#include "storage/store.hpp"

namespace forerun {
namespace {

struct ExplainFlags {
  std::string run_id;
  std::optional<std::uint32_t> step;
  ClientFlags client;
  std::filesystem::path data;
  std::string output = "text";
};

Result<json::Value> ask(const ClientFlags& flags, const RunId& run_id) {
  auto client = flags.client();
  if (!client) {
    return tl::unexpected(client.error());
  }
  auto answer = client->get("/v1/sessions/" + to_string(run_id) + "/explanation");
  if (!answer) {
    return tl::unexpected(answer.error());
  }
  if (answer->status != 200) {
    return tl::unexpected(refusal(flags.url, *answer));
  }
  return std::move(answer->body);
}

Result<json::Value> read(const std::filesystem::path& data, const RunId& run_id) {
  auto store = open_coordinator_store_readonly(data);
  if (!store) {
    return tl::unexpected(store.error());
  }
  const auto record = (*store)->session(run_id);
  if (!record) {
    return tl::unexpected(record.error());
  }
  return explain(record->row, record->commits, record->discards);
}

Result<int> tell(const ExplainFlags& s) {
  const auto run_id = RunId::parse(s.run_id);
  if (!run_id) {
    return fail(Errc::invalid, "RUN_ID: " + run_id.error().message);
  }
  const auto story = s.data.empty() ? ask(s.client, *run_id) : read(s.data, *run_id);
  if (!story) {
    return tl::unexpected(story.error());
  }
  const auto text = explanation_text(*story, s.step);
  if (!text) {
    return tl::unexpected(text.error());
  }
  if (s.output == "text") {
    std::cout << *text;
  } else if (s.step) {
    for (const json::Value& step : *story->find("steps")->array()) {
      const json::Value* number = step.find("step");
      if (number != nullptr && *number == json::Value(std::uint64_t{*s.step})) {
        std::cout << json::canonical(step) << '\n';
      }
    }
  } else {
    std::cout << json::canonical(*story) << '\n';
  }
  return exit_ok;
}

}  // namespace

void add_explain(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<ExplainFlags>();
  CLI::App& command = add_command(app, "explain", "Tell how a session's decisions came about",
                                  chosen, [s] { return report(tell(*s)); });
  command.add_option("run_id", s->run_id, "UUID/COUNTER")->required();
  command.add_option("step", s->step, "One step; without it all of them, and what was discarded")
      ->check(number_within(0, whole_number_max));
  add_client_flags(command, s->client);
  command.add_option("--data", s->data, "Read a coordinator's data directory instead");
  command.add_option("--output", s->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  bind_environment(command);
}

}  // namespace forerun
