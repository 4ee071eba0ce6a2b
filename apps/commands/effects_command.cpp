#include <iostream>
#include <memory>
#include <optional>

#include "apps/commands/client_flags.hpp"
#include "apps/commands/commands.hpp"
#include "speculation/effects.hpp"

namespace forerun {
namespace {

struct EffectsFlags {
  ClientFlags client;
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
    return tl::unexpected(refusal(url, *answer));
  }
  std::cout << json::canonical(answer->body) << '\n';
  return exit_ok;
}

Result<int> list(const ClientFlags& flags) {
  auto client = flags.client();
  return client ? print_answer(flags.url, client->get("/v1/effects"))
                : Result<int>(tl::unexpected(client.error()));
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
  auto client = s.client.client();
  return client ? print_answer(s.client.url, client->post(path, json::canonical(body)))
                : Result<int>(tl::unexpected(client.error()));
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
  add_client_flags(command, s->client);
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
  CLI::App& listing = add_command(effects, "list", "Print effects that are not delivered yet",
                                  chosen, [s] { return report(list(s->client)); });
  add_client_flags(listing, s->client);
  listing.add_option("--output", s->output, "json, the only form")->check(CLI::IsMember({"json"}));
  bind_environment(listing);
  // Each has flags of its own: CLI11 reads the environment for those that were not called, too.
  add_change(effects, "redrive", "Try parked effects again", std::make_shared<EffectsFlags>(),
             chosen);
  add_change(effects, "drop", "Give parked effects up for good", std::make_shared<EffectsFlags>(),
             chosen);
}

}  // namespace forerun
