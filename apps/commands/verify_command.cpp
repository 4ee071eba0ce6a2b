#include <iostream>
#include <memory>

#include "apps/commands/commands.hpp"
#include "apps/verify.hpp"

namespace forerun {
namespace {

struct Settings {
  VerifySettings verify;
  std::string output = "json";
};

}  // namespace

void add_verify(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<Settings>();
  CLI::App& command =
      add_command(app, "verify", "Recompute every decision of a cluster or of an export", chosen,
                  [s] { return report(verify_export(s->verify, std::cout, std::cerr)); });
  command.add_option("--offline", s->verify.export_folder, "Judge this export, without a cluster")
      ->check(CLI::ExistingDirectory);
  command.add_option("--key", s->verify.first_key,
                     "The first term's public key, 64 hex digits; without it the ledger's own word "
                     "is taken");
  command.add_option("--output", s->output, "json, the only form")->check(CLI::IsMember({"json"}));
  bind_environment(command);
}

}  // namespace forerun
