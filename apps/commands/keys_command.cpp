#include "apps/commands/commands.hpp"

#include <unistd.h>

#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "base/private_file.hpp"
#include "cluster/keys.hpp"
#include "gateway/tokens_file.hpp"

namespace forerun {
namespace {

constexpr const char* out_meaning = "A new file for the secret, of mode 0600, instead of stdout";

struct KeysFlags {
  std::filesystem::path data = "forerun-data";
  std::string name;
  std::filesystem::path out;
};

/// To the file that was asked for, or to stdout, which a shell may have made a file that all can
/// read.
Result<void> hand_over(const std::string& secret, const std::filesystem::path& out) {
  if (!out.empty()) {
    return write_private_file(out, secret + "\n");
  }
  make_private(STDOUT_FILENO);
  std::cout << secret << '\n';
  return {};
}

/// Before a secret is made that has nowhere to go.
Result<void> check_out(const std::filesystem::path& out) {
  std::error_code ignored;
  if (!out.empty() && std::filesystem::exists(out, ignored)) {
    return fail(Errc::refused, "--out: " + out.string() + " exists, expected a new file");
  }
  return {};
}

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

Result<int> make_key(const KeysFlags& s, bool renews) {
  if (auto free = check_out(s.out); !free) {
    return tl::unexpected<Error>(free.error());
  }
  auto keys = KeyFolder::open_or_create(s.data);
  if (!keys) {
    return tl::unexpected<Error>(keys.error());
  }
  const auto token = renews ? keys->renew(s.name) : keys->add(s.name);
  if (!token) {
    return tl::unexpected<Error>(token.error());
  }
  if (auto given = hand_over(token->text(), s.out); !given) {
    return tl::unexpected<Error>(given.error());
  }
  std::cerr << (s.out.empty() ? "This line" : s.out.string())
            << " is the node's secret. On its machine: forerun node --join HOST:PORT --name "
            << s.name << " --token-file FILE, which holds it\n";
  return exit_ok;
}

int revoke_key(const KeysFlags& s) {
  auto keys = KeyFolder::open_or_create(s.data);
  return report(keys ? keys->revoke(s.name) : Result<void>(tl::unexpected<Error>(keys.error())));
}

struct TokenFlags {
  std::filesystem::path file;
  std::string name;
  std::string tenant{default_tenant};
  std::string role{to_string(Role::client)};
  std::filesystem::path out;
};

Result<int> make_token(const TokenFlags& s) {
  const auto role = role_from(s.role);
  if (!role) {
    return tl::unexpected(role.error());
  }
  if (auto free = check_out(s.out); !free) {
    return tl::unexpected(free.error());
  }
  const auto token = add_token(s.file, s.name, s.tenant, *role);
  if (!token) {
    return tl::unexpected(token.error());
  }
  if (auto given = hand_over(*token, s.out); !given) {
    return tl::unexpected(given.error());
  }
  std::cerr << (s.out.empty() ? "This line" : s.out.string())
            << " is the secret of whoever is to ask; nothing else keeps it. For the commands: "
               "--token-file FILE, which holds it\n";
  return exit_ok;
}

Result<int> list_tokens(const TokenFlags& s) {
  const auto tokens = read_tokens(s.file);
  if (!tokens) {
    return tl::unexpected(tokens.error());
  }
  for (const TokenEntry& entry : tokens->entries()) {
    std::cout << entry.name << "  " << entry.tenant << "  " << to_string(entry.role) << '\n';
  }
  return exit_ok;
}

void add_token_commands(CLI::App& keys, Action& chosen) {
  CLI::App& token = *keys.add_subcommand("token", "Make, list and revoke tokens for HTTP");
  token.require_subcommand(1);
  token.fallthrough();
  const auto added = std::make_shared<TokenFlags>();
  CLI::App& add = add_command(token, "add", "Make a token; prints it once", chosen,
                              [added] { return report(make_token(*added)); });
  add.add_option("name", added->name, "The token's name: [a-z0-9-], up to 63")->required();
  add.add_option("--tenant", added->tenant, "Whose sessions it reaches: [a-z0-9-], up to 63")
      ->capture_default_str();
  add.add_option("--role", added->role, "What it may ask (docs/security.md)")
      ->check(CLI::IsMember({"client", "operator", "auditor"}))
      ->capture_default_str();
  add.add_option("--out", added->out, out_meaning);
  const auto listed = std::make_shared<TokenFlags>();
  CLI::App& list = add_command(token, "list", "List tokens: name, tenant, role", chosen,
                               [listed] { return report(list_tokens(*listed)); });
  const auto revoked = std::make_shared<TokenFlags>();
  CLI::App& revoke =
      add_command(token, "revoke", "Shut a token out, within a second", chosen,
                  [revoked] { return report(revoke_token(revoked->file, revoked->name)); });
  revoke.add_option("name", revoked->name, "The token's name")->required();
  for (const auto& [command, flags] :
       {std::pair{&add, added}, std::pair{&list, listed}, std::pair{&revoke, revoked}}) {
    command->add_option("--tokens", flags->file, "The coordinator's tokens file")->required();
    bind_environment(*command);
  }
}

}  // namespace

void add_keys(CLI::App& app, Action& chosen) {
  CLI::App* keys =
      app.add_subcommand("keys", "Make, list and revoke nodes' keys, and tokens for HTTP");
  keys->require_subcommand(1);
  keys->fallthrough();
  // Each has flags of its own: CLI11 reads the environment for those that were not called, too.
  const auto added = std::make_shared<KeysFlags>();
  CLI::App& add = add_command(*keys, "add", "Make a key; prints the token that lets a node join",
                              chosen, [added] { return report(make_key(*added, false)); });
  add.add_option("name", added->name, "The node's name: [a-z0-9-], up to 63")->required();
  add.add_option("--out", added->out, out_meaning);
  const auto renewed = std::make_shared<KeysFlags>();
  CLI::App& renew =
      add_command(*keys, "renew", "Make another key for a node; the one that it had is shut out",
                  chosen, [renewed] { return report(make_key(*renewed, true)); });
  renew.add_option("name", renewed->name, "The node's name")->required();
  renew.add_option("--out", renewed->out, out_meaning);
  const auto listed = std::make_shared<KeysFlags>();
  CLI::App& list = add_command(*keys, "list", "List allowed nodes", chosen,
                               [listed] { return list_keys(listed->data); });
  const auto revoked = std::make_shared<KeysFlags>();
  CLI::App& revoke = add_command(*keys, "revoke", "Shut a node out, within a second", chosen,
                                 [revoked] { return revoke_key(*revoked); });
  revoke.add_option("name", revoked->name, "The node's name")->required();
  for (const auto& [command, flags] : {std::pair{&add, added}, std::pair{&renew, renewed},
                                       std::pair{&list, listed}, std::pair{&revoke, revoked}}) {
    command->add_option("--data", flags->data, "The coordinator's data directory")
        ->capture_default_str();
    bind_environment(*command);
  }
  add_token_commands(*keys, chosen);
}

}  // namespace forerun
