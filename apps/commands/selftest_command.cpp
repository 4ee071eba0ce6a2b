#include "apps/commands/commands.hpp"

#include <iostream>
#include <memory>

#include "apps/process.hpp"
#include "apps/selftest.hpp"
#include "base/failpoint.hpp"

namespace forerun {

void add_selftest(CLI::App& app, Action& chosen) {
  const auto vectors = std::make_shared<std::filesystem::path>();
  const auto lists = std::make_shared<bool>(false);
  CLI::App& command = add_command(
      app, "selftest", "Check golden vectors of the byte formats", chosen, [vectors, lists]() -> int {
        if (*lists) {
          for (const std::string_view name : failpoint_names()) {
            std::cout << name << '\n';
          }
          return exit_ok;
        }
        return selftest(*vectors, std::cout, std::cerr);
      });
  auto* const choice = command.add_option_group("what");
  choice->add_option("--vectors", *vectors, "A folder of golden vectors");
  choice->add_flag("--failpoints", *lists, "List where a test can have a process killed");
  choice->require_option(1);
}

}  // namespace forerun
