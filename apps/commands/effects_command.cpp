#include <iostream>
#include <memory>
#include <optional>

#include "apps/commands/commands.hpp"
#include "demo/http_client.hpp"
#include "speculation/effects.hpp"

namespace forerun {
namespace {

struct EffectsFlags {
  std::string url = "http://127.0.0.1:7480";
  std::string output = "json";
  std::string run_id;
  std::optional<std::uint32_t> step;
  std::optional<std::uint32_t> index;
  bool all = false;
};

Result<int> print_answer(const std::string& url, const Result<HttpAnswer>& answer) {
  if (!answer) {
    return tl::unexpected<Error>(answer.error());
  }
  if (answer->status != 200) {
    const json::Value* detail =
        answer->body.object() == nullptr ? nullptr : answer->body.find("detail");
    return fail(
        answer->status == 404   ? Errc::not_found
        : answer->status == 409 ? Errc::refused
                                : Errc::io,
        url + ": status " + std::to_string(answer->status) + ": " +
            (detail != nullptr && detail->string() != nullptr ? *detail->string() : "no detail"));
  }
  std::cout << json::canonical(answer->body) << '\n';
  return exit_ok;
}

Result<int> change(const EffectsFlags& s, const std::string& path) {
  json::Object body;
  if (s.all) {
    body.set("all", true);
  } else {
    if (s.run_id.empty() || !s.step) {
      return fail(Errc::invalid, "effects: expected RUN_ID and STEP, or --all");
    }
    body.set("run_id", s.run_id);
    body.set("step", std::uint64_t{*s.step});
    body.set("index", std::uint64_t{s.index.value_or(0)});
  }
  HttpClient client(s.url);
  return print_answer(s.url, client.post(path, json::canonical(body)));
}

void add_change(CLI::App& effects, const std::string& name, const std::string& description,
                const std::shared_ptr<EffectsFlags>& s, Action& chosen) {
  CLI::App& command =
      add_command(effects, name, description, chosen,
                  [s, path = "/v1/effects/" + name] { return report(change(*s, path)); });
  auto* const run_id = command.add_option("run_id", s->run_id, "UUID/COUNTER of its session");
  command.add_option("step", s->step, "Its step")->check(number_within(0, whole_number_max));
  command
      .add_option("index", s->index, "Its place among the step's effects, from 0; 0 if left out")
      ->check(number_within(0, effects_per_step_max - 1));
  command.add_flag("--all", s->all, "All that are parked")->excludes(run_id);
  command.add_option("--url", s->url, "The coordinator's HTTP address")->capture_default_str();
  command.add_option("--output", s->output, "json, the only form")->check(CLI::IsMember({"json"}));
  bind_environment(command);
}

}  // namespace

void add_effects(CLI::App& app, Action& chosen) {
  CLI::App& effects = *app.add_subcommand(
      "effects", "List effects that are not delivered; redrive or drop those that were parked");
  effects.require_subcommand(1);
  effects.fallthrough();
  const auto s = std::make_shared<EffectsFlags>();
  CLI::App& list =
      add_command(effects, "list", "Print effects that are not delivered yet", chosen, [s] {
        HttpClient client(s->url);
        return report(print_answer(s->url, client.get("/v1/effects")));
      });
  list.add_option("--url", s->url, "The coordinator's HTTP address")->capture_default_str();
  list.add_option("--output", s->output, "json, the only form")->check(CLI::IsMember({"json"}));
  bind_environment(list);
  // Each has flags of its own: CLI11 reads the environment for those that were not called, too.
  add_change(effects, "redrive", "Try parked effects again", std::make_shared<EffectsFlags>(),
             chosen);
  add_change(effects, "drop", "Give parked effects up for good", std::make_shared<EffectsFlags>(),
             chosen);
}

}  // namespace forerun
