#include "apps/commands/commands.hpp"

#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "cluster/keys.hpp"

namespace forerun {
namespace {

struct KeysFlags {
  std::filesystem::path data = "forerun-data";
  std::string name;
};

int list_keys(const std::filesystem::path& data) {
  const auto keys = KeyFolder::open_or_create(data);
  const auto allowed = keys ? keys->allowed()
                            : Result<std::vector<AllowedPeer>>(tl::unexpected<Error>(keys.error()));
  if (!allowed) {
    return report(Result<void>(tl::unexpected<Error>(allowed.error())));
  }
  for (const AllowedPeer& peer : *allowed) {
    std::cout << fingerprint(peer.public_key).name << "  " << peer.name << '\n';
  }
  return exit_ok;
}

int add_key(const KeysFlags& s) {
  auto keys = KeyFolder::open_or_create(s.data);
  const auto token =
      keys ? keys->add(s.name) : Result<JoinToken>(tl::unexpected<Error>(keys.error()));
  if (!token) {
    return report(Result<void>(tl::unexpected<Error>(token.error())));
  }
  std::cout << token->text() << '\n';
  std::cerr
      << "This line is the node's secret. On its machine: forerun node --join HOST:PORT --name "
      << s.name << " --token LINE\n";
  return exit_ok;
}

int revoke_key(const KeysFlags& s) {
  auto keys = KeyFolder::open_or_create(s.data);
  return report(keys ? keys->revoke(s.name) : Result<void>(tl::unexpected<Error>(keys.error())));
}

}  // namespace

void add_keys(CLI::App& app, Action& chosen) {
  CLI::App* keys =
      app.add_subcommand("keys", "Make, list and revoke the keys that nodes join with");
  keys->require_subcommand(1);
  keys->fallthrough();
  // Each has flags of its own: CLI11 reads the environment for those that were not called, too.
  const auto added = std::make_shared<KeysFlags>();
  CLI::App& add = add_command(*keys, "add", "Make a key; prints the token that lets a node join",
                              chosen, [added] { return add_key(*added); });
  add.add_option("name", added->name, "The node's name: [a-z0-9-], up to 63")->required();
  const auto listed = std::make_shared<KeysFlags>();
  CLI::App& list = add_command(*keys, "list", "List allowed nodes", chosen,
                               [listed] { return list_keys(listed->data); });
  const auto revoked = std::make_shared<KeysFlags>();
  CLI::App& revoke = add_command(*keys, "revoke", "Shut a node out, within a second", chosen,
                                 [revoked] { return revoke_key(*revoked); });
  revoke.add_option("name", revoked->name, "The node's name")->required();
  for (const auto& [command, flags] :
       {std::pair{&add, added}, std::pair{&list, listed}, std::pair{&revoke, revoked}}) {
    command->add_option("--data", flags->data, "The coordinator's data directory")
        ->capture_default_str();
    bind_environment(*command);
  }
}

}  // namespace forerun
