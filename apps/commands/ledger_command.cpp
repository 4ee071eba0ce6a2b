#include "apps/commands/commands.hpp"

#include <iostream>
#include <memory>

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
  const auto s = std::make_shared<LedgerFlags>();
  CLI::App* ledger = app.add_subcommand("ledger", "Export and prove decisions (docs/ledger.md)");
  ledger->require_subcommand(1);
  ledger->fallthrough();
  CLI::App& dump = add_command(*ledger, "export", "Write the ledger for an auditor", chosen, [s] {
    return report(ledger_export(s->data, s->folder, std::cout));
  });
  dump.add_option("folder", s->folder, "A new folder")->required();
  CLI::App& head = add_command(*ledger, "head", "Print the signed head", chosen,
                               [s] { return report(ledger_head(s->data, std::cout)); });
  CLI::App& prove =
      add_command(*ledger, "prove", "Print an entry and the proof that it is in the ledger", chosen,
                  [s] { return report(ledger_prove(s->data, s->seq, std::cout)); });
  prove.add_option("seq", s->seq, "The entry's number")
      ->required()
      ->check(number_within(0, whole_number_max));
  for (CLI::App* command : {&dump, &head, &prove}) {
    command->add_option("--data", s->data, "The coordinator's data directory")
        ->capture_default_str();
    command->add_option("--output", s->output, "json, the only form")
        ->check(CLI::IsMember({"json"}));
    bind_environment(*command);
  }
}

}  // namespace forerun
