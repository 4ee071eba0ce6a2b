#include "apps/commands/commands.hpp"

#include <iostream>
#include <memory>

#include "demo/http_client.hpp"

namespace forerun {
namespace {

struct StatusFlags {
  std::string url = "http://127.0.0.1:7480";
  std::string output = "json";
};

int show_status(const std::string& url) {
  HttpClient client(url);
  const auto answer = client.get("/v1/status");
  if (!answer) {
    return report(Result<void>(tl::unexpected<Error>(answer.error())));
  }
  if (answer->status != 200) {
    std::cerr << "forerun: " << url << ": status " << answer->status << '\n';
    return exit_error;
  }
  std::cout << json::canonical(answer->body) << '\n';
  return exit_ok;
}

}  // namespace

void add_status(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<StatusFlags>();
  CLI::App& command = add_command(app, "status", "Print a coordinator's status", chosen,
                                  [s] { return show_status(s->url); });
  command.add_option("--url", s->url, "The coordinator's HTTP address")->capture_default_str();
  command.add_option("--output", s->output, "json, the only form")->check(CLI::IsMember({"json"}));
  bind_environment(command);
}

}  // namespace forerun
