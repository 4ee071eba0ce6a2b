#include "apps/commands/client_flags.hpp"
#include "apps/commands/commands.hpp"

#include <iostream>
#include <memory>

namespace forerun {
namespace {

struct StatusFlags {
  ClientFlags client;
  std::string output = "json";
};

Result<int> show_status(const ClientFlags& flags) {
  auto client = flags.client();
  if (!client) {
    return tl::unexpected(client.error());
  }
  const auto answer = client->get("/v1/status");
  if (!answer) {
    return tl::unexpected(answer.error());
  }
  if (answer->status != 200) {
    return tl::unexpected(refusal(flags.url, *answer));
  }
  std::cout << json::canonical(answer->body) << '\n';
  return exit_ok;
}

}  // namespace

void add_status(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<StatusFlags>();
  CLI::App& command = add_command(app, "status", "Print a coordinator's status", chosen,
                                  [s] { return report(show_status(s->client)); });
  add_client_flags(command, s->client);
  command.add_option("--output", s->output, "json, the only form")->check(CLI::IsMember({"json"}));
  bind_environment(command);
}

}  // namespace forerun
