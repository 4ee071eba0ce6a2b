#include "apps/commands/commands.hpp"

#include <iostream>
#include <memory>
#include <utility>

#include "apps/ledger_commands.hpp"

namespace forerun {
namespace {

struct LedgerFlags {
  std::filesystem::path data = "forerun-data";
  std::filesystem::path folder;
  std::string output = "json";
  std::uint64_t seq = 0;
};

}  // namespace

void add_ledger(CLI::App& app, Action& chosen) {
  CLI::App* ledger = app.add_subcommand("ledger", "Export and prove decisions (docs/ledger.md)");
  ledger->require_subcommand(1);
  ledger->fallthrough();
  // Each has flags of its own: CLI11 reads the environment for those that were not called, too.
  const auto dumped = std::make_shared<LedgerFlags>();
  CLI::App& dump =
      add_command(*ledger, "export", "Write the ledger for an auditor", chosen, [dumped] {
        return report(ledger_export(dumped->data, dumped->folder, std::cout));
      });
  dump.add_option("folder", dumped->folder, "A new folder")->required();
  const auto latest = std::make_shared<LedgerFlags>();
  CLI::App& head = add_command(*ledger, "head", "Print the signed head", chosen, [latest] {
    return report(ledger_head(latest->data, std::cout));
  });
  const auto proven = std::make_shared<LedgerFlags>();
  CLI::App& prove = add_command(
      *ledger, "prove", "Print an entry and the proof that it is in the ledger", chosen,
      [proven] { return report(ledger_prove(proven->data, proven->seq, std::cout)); });
  prove.add_option("seq", proven->seq, "The entry's number")
      ->required()
      ->check(number_within(0, whole_number_max));
  for (const auto& [command, flags] :
       {std::pair{&dump, dumped}, std::pair{&head, latest}, std::pair{&prove, proven}}) {
    command->add_option("--data", flags->data, "The coordinator's data directory")
        ->capture_default_str();
    command->add_option("--output", flags->output, "json, the only form")
        ->check(CLI::IsMember({"json"}));
    bind_environment(*command);
  }
}

}  // namespace forerun
